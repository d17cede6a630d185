// SPDX-License-Identifier: Apache-2.0
//
// Body frames that come in pieces, through the buffer or straight into the message.
#include <algorithm>
#include <numeric>

#include "tests/unit/broker/session_fixture.hpp"

namespace harrier::broker {
namespace {

using protocol::ByteView;

constexpr std::size_t kPayload = 3'000;

class BodyFramesTest : public SessionFixture {
 protected:
  BodyFramesTest() : SessionFixture(1), session(open(0)), body(2 * kPayload) {
    std::iota(body.begin(), body.end(), std::uint8_t{1});
    protocol::QueueDeclare declare;
    declare.queue = "q";
    send(session, 1, declare);
    exchange();
    take_output(session);
  }

  void begin() {
    protocol::BasicPublish method;
    method.routing_key = "q";
    send(session, 1, method);
    const Bytes header = content_header(false, body.size());
    ASSERT_EQ(session.receive(header), header.size());
  }

  // Gives the session this and what it has not used before, as a connection does; with
  // `straight`, into the message what has its place there.
  void give(ByteView bytes, bool straight) {
    if (straight && left.empty()) {
      const auto space = session.body_space();
      const std::size_t size = std::min(space.size(), bytes.size());
      std::copy_n(bytes.begin(), size, space.begin());
      if (size > 0) session.body_arrived(size);
      bytes = bytes.subspan(size);
    }
    left.insert(left.end(), bytes.begin(), bytes.end());
    const std::size_t used = session.receive(left);
    left.erase(left.begin(), left.begin() + static_cast<std::ptrdiff_t>(used));
  }

  // The body in two frames, the first one with so much of it.
  Bytes both_frames(std::size_t first = kPayload) const {
    Bytes frames = body_frame(ByteView(body).first(first));
    const Bytes second = body_frame(ByteView(body).subspan(first));
    frames.insert(frames.end(), second.begin(), second.end());
    return frames;
  }

  void expect_it_in_the_queue() {
    exchange();
    EXPECT_TRUE(left.empty());
    protocol::BasicGet get;
    get.queue = "q";
    get.no_ack = true;
    send(session, 1, get);
    exchange();
    const Bytes answer = take_output(session);
    const Bytes sent = both_frames(4'096 - protocol::kFrameOverhead);  // as frame_max asks
    EXPECT_NE(std::search(answer.begin(), answer.end(), sent.begin(), sent.end()), answer.end());
  }

  std::string close_text() {
    const Bytes bytes = take_output(session);
    const auto result = protocol::read_frame(bytes, 0);
    protocol::ConnectionClose close;
    if (protocol::decode_as(result.frame.payload, close) != protocol::DecodeStatus::Ok) return "";
    return std::string(close.reply_text);
  }

  Session& session;
  Bytes body;
  Bytes left;  // not used yet
};

TEST_F(BodyFramesTest, MayBeCutAnywhere) {
  const Bytes frames = both_frames();
  for (const bool straight : {false, true}) {
    for (std::size_t cut = 0; cut <= frames.size(); cut += cut < 64 ? 1 : 61) {
      begin();
      give(ByteView(frames).first(cut), straight);
      give(ByteView(frames).subspan(cut), straight);
      expect_it_in_the_queue();
    }
  }
}

TEST_F(BodyFramesTest, MayComeInManyPieces) {
  const Bytes frames = both_frames();
  for (const bool straight : {false, true}) {
    for (const std::size_t piece : {1u, 7u, 24u, 25u, 100u, 1'500u, 3'008u}) {
      begin();
      for (std::size_t at = 0; at < frames.size(); at += piece)
        give(ByteView(frames).subspan(at, std::min(piece, frames.size() - at)), straight);
      expect_it_in_the_queue();
    }
  }
}

TEST_F(BodyFramesTest, AreUsedAsTheyCome) {
  begin();
  const Bytes frame = body_frame(ByteView(body).first(kPayload));
  EXPECT_EQ(session.receive(ByteView(frame).first(23)), 0u);  // an error would quote more of it
  EXPECT_TRUE(session.body_space().empty());
  EXPECT_EQ(session.receive(ByteView(frame).first(24)), 24u);
  EXPECT_EQ(session.body_space().size(), kPayload - 17);
}

class WrongEndTest : public BodyFramesTest, public testing::WithParamInterface<std::size_t> {};
INSTANTIATE_TEST_SUITE_P(CutAt, WrongEndTest, testing::Values(0, 500, 3'007));

TEST_P(WrongEndTest, IsRefusedHoweverItComes) {
  begin();
  Bytes frame = body_frame(ByteView(body).first(kPayload));
  frame.back() = 7;
  give(ByteView(frame).first(GetParam()), false);
  give(ByteView(frame).subspan(GetParam()), false);
  exchange();
  EXPECT_EQ(close_text(),
            "FRAME_ERROR - type 3, first 16 octets = <<1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16>>: "
            "{invalid_frame_end_marker,7}");
  EXPECT_TRUE(session.body_space().empty());
}

TEST_F(BodyFramesTest, OfMoreThanWasAnnouncedAreRefusedLikeWholeOnes) {
  begin();
  give(body_frame(ByteView(body).first(kPayload)), false);
  const Bytes frame = body_frame(Bytes(kPayload + 1));
  give(ByteView(frame).first(2'000), false);
  EXPECT_TRUE(session.body_space().empty());
  give(ByteView(frame).subspan(2'000), false);
  exchange();
  EXPECT_EQ(
      close_text(),
      "FRAME_ERROR - content body frame of 3001 bytes exceeds the remaining content size 3000");
}

TEST_F(BodyFramesTest, OfAPeerThatWentAreForgotten) {
  begin();
  const Bytes frame = body_frame(ByteView(body).first(kPayload));
  give(ByteView(frame).first(2'000), false);
  EXPECT_FALSE(session.body_space().empty());
  session.peer_gone();
  exchange();
  EXPECT_TRUE(session.body_space().empty());
  EXPECT_TRUE(session.finished());
}

}  // namespace
}  // namespace harrier::broker
