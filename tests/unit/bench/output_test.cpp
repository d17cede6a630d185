// SPDX-License-Identifier: Apache-2.0
#include "broker/bench/output.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <gtest/gtest.h>

namespace harrier::bench {
namespace {

class OutputTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends_.data()), 0);
  }
  void TearDown() override {
    for (const int end : ends_) {
      if (end >= 0) ::close(end);
    }
  }
  std::string read_all() {
    std::string text;
    std::array<char, 4096> buffer{};
    for (ssize_t got = 0; (got = ::read(ends_[1], buffer.data(), buffer.size())) > 0;) {
      text.append(buffer.data(), static_cast<std::size_t>(got));
    }
    return text;
  }
  static protocol::ByteView bytes(const std::string& text) { return protocol::as_bytes(text); }

  std::array<int, 2> ends_{-1, -1};
  Output output_;
};

TEST_F(OutputTest, OwnBytesAndReferencesKeepTheirOrder) {
  const std::string a = "own ", b = "referred ", c = "again ", d = "and once more";
  output_.refer(bytes(b));
  output_.append(bytes(a));
  output_.refer(bytes(b));
  output_.refer(bytes(c));
  output_.append(bytes(d));
  EXPECT_EQ(output_.pending(), 2 * b.size() + a.size() + c.size() + d.size());
  EXPECT_EQ(output_.flush(ends_[0]), Output::Flush::Done);
  EXPECT_TRUE(output_.empty());
  EXPECT_EQ(read_all(), b + a + b + c + d);
}

// More pieces than one system call takes, and more bytes than the socket holds at a time.
TEST_F(OutputTest, ContinuesWhereTheSocketWasFull) {
  const std::string filler(10'000, 'f');
  std::string expected;
  for (int i = 0; i < 600; ++i) {
    const std::string own = std::to_string(i) + ":";
    output_.append(bytes(own));
    output_.refer(bytes(filler));
    expected += own + filler;
  }
  std::string got;
  bool blocked = false;
  for (Output::Flush state = Output::Flush::Blocked; state != Output::Flush::Done;) {
    state = output_.flush(ends_[0]);
    ASSERT_NE(state, Output::Flush::Failed);
    blocked = blocked || state == Output::Flush::Blocked;
    got += read_all();
  }
  EXPECT_TRUE(blocked);
  EXPECT_EQ(got.size(), expected.size());
  EXPECT_EQ(got, expected);
}

TEST_F(OutputTest, ReservedRoomCountsWhenCommitted) {
  std::uint8_t* const room = output_.reserve(100);
  room[0] = 'x';
  output_.commit(1);
  EXPECT_EQ(output_.pending(), 1u);
  EXPECT_EQ(output_.flush(ends_[0]), Output::Flush::Done);
  EXPECT_EQ(read_all(), "x");
}

TEST_F(OutputTest, ABrokenSocketIsAFailure) {
  ::close(ends_[1]);
  ends_[1] = -1;
  output_.append(bytes("lost"));
  EXPECT_EQ(output_.flush(ends_[0]), Output::Flush::Failed);
}

}  // namespace
}  // namespace harrier::bench
