// SPDX-License-Identifier: Apache-2.0
#include "protocol/frame.hpp"

#include <vector>

#include <gtest/gtest.h>

namespace harrier::protocol {
namespace {

using Bytes = std::vector<std::uint8_t>;

Bytes frame(std::uint8_t type, std::uint16_t channel, const Bytes& payload,
            std::uint8_t end = kFrameEnd) {
  Bytes out(kFrameHeaderSize);
  put_frame_header(out.data(), static_cast<FrameType>(type), channel, payload.size());
  out.insert(out.end(), payload.begin(), payload.end());
  out.push_back(end);
  return out;
}

TEST(Frame, Layout) {  // C-074
  EXPECT_EQ(frame(1, 0x0203, {9}), (Bytes{1, 2, 3, 0, 0, 0, 1, 9, 0xCE}));
  Bytes header(kContentHeaderSize);
  put_content_header(header.data(), 60, 0x0102030405060708ull);
  EXPECT_EQ(header, (Bytes{0, 60, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8}));
}

TEST(Frame, YieldsAViewOfACompleteFrame) {
  Bytes buffer = frame(3, 7, {1, 2, 3});
  buffer.push_back(0x99);  // the start of what follows
  const FrameResult result = read_frame(buffer, 4096);
  ASSERT_EQ(result.status, FrameStatus::Complete);
  EXPECT_EQ(result.size, 11u);
  EXPECT_EQ(result.frame.type, 3);
  EXPECT_EQ(result.frame.channel, 7);
  EXPECT_EQ(result.frame.payload.data(), buffer.data() + 7);
  EXPECT_EQ(result.frame.payload.size(), 3u);
}

TEST(Frame, EveryPrefixIsIncomplete) {
  const Bytes buffer = frame(1, 1, Bytes(20, 5));
  for (std::size_t size = 0; size < buffer.size(); ++size) {
    EXPECT_EQ(read_frame(ByteView(buffer).first(size), 4096).status, FrameStatus::Incomplete);
  }
}

TEST(Frame, LimitIsCheckedOnTheHeaderAlone) {  // C-075
  const Bytes fits = frame(3, 1, Bytes(4096));
  EXPECT_EQ(read_frame(fits, 4096).status, FrameStatus::Complete);
  const Bytes large = frame(3, 1, Bytes(4097));
  EXPECT_EQ(read_frame(large, 4096).status, FrameStatus::TooLarge);
  EXPECT_EQ(read_frame(ByteView(large).first(kFrameHeaderSize), 4096).status,
            FrameStatus::TooLarge);
  EXPECT_EQ(read_frame(large, 0).status, FrameStatus::Complete);  // C-043: 0 is no limit
}

TEST(Frame, LargestSizeFieldDoesNotOverflow) {
  const Bytes header{3, 0, 1, 0xFF, 0xFF, 0xFF, 0xFF};
  EXPECT_EQ(read_frame(header, 0).status, FrameStatus::Incomplete);
  EXPECT_EQ(read_frame(header, 131072).status, FrameStatus::TooLarge);
}

TEST(Frame, EndOctet) {
  EXPECT_EQ(read_frame(frame(1, 1, {1, 2}, 0xCD), 4096).status, FrameStatus::BadEnd);
}

TEST(Frame, UnknownTypesAreYielded) {
  const FrameResult result = read_frame(frame(77, 1, {}), 4096);
  EXPECT_EQ(result.status, FrameStatus::Complete);
  EXPECT_EQ(result.frame.type, 77);
}

TEST(Frame, ErrorTexts) {  // C-078, C-079, C-080
  Bytes large(kFrameHeaderSize);
  put_frame_header(large.data(), FrameType::Method, 1, 131073);
  EXPECT_EQ(frame_error_text(large, FrameStatus::TooLarge, 131072),
            "type 1, all octets = <<>>: {frame_too_large,131073,131064}");
  EXPECT_EQ(frame_error_text(frame(3, 1, {1, 2, 3}, 7), FrameStatus::BadEnd, 131072),
            "type 3, all octets = <<1,2,3>>: {invalid_frame_end_marker,7}");
  EXPECT_EQ(frame_error_text(frame(4, 0, Bytes(17, 200)), FrameStatus::Complete, 131072),
            "type 4, first 16 octets = "
            "<<200,200,200,200,200,200,200,200,200,200,200,200,200,200,200,200>>: unknown_frame");
  EXPECT_EQ(frame_error_text(frame(0, 0, {'a', 'b'}), FrameStatus::Complete, 131072),
            "type 0, all octets = <<\"ab\">>: unknown_frame");
  EXPECT_EQ(frame_error_text({}, FrameStatus::Complete, 0),
            "type 0, all octets = <<>>: unknown_frame");
}

}  // namespace
}  // namespace harrier::protocol
