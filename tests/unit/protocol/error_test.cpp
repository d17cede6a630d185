// SPDX-License-Identifier: Apache-2.0
#include "protocol/error.hpp"

#include <gtest/gtest.h>

#include "protocol/methods.hpp"
#include "protocol/utf8.hpp"

namespace harrier::protocol {
namespace {

TEST(Error, NamesByCode) {  // C-114
  EXPECT_EQ(name(ReplyCode::Success), "REPLY_SUCCESS");
  EXPECT_EQ(name(ReplyCode::ConnectionForced), "CONNECTION_FORCED");
  EXPECT_EQ(name(ReplyCode::AccessRefused), "ACCESS_REFUSED");
  EXPECT_EQ(name(ReplyCode::PreconditionFailed), "PRECONDITION_FAILED");
  EXPECT_EQ(name(ReplyCode::InternalError), "INTERNAL_ERROR");
}

TEST(Error, ScopeByCode) {  // C-115
  for (const int soft : {311, 312, 313, 403, 404, 405, 406}) {
    EXPECT_FALSE(is_hard(static_cast<ReplyCode>(soft))) << soft;
  }
  for (const int hard : {320, 402, 501, 502, 503, 504, 505, 506, 530, 540, 541}) {
    EXPECT_TRUE(is_hard(static_cast<ReplyCode>(hard))) << hard;
  }
}

TEST(Error, TheEnumeratorsAreTheDefinitionsCodes) {
  EXPECT_EQ(static_cast<int>(ReplyCode::ResourceLocked), 405);
  EXPECT_EQ(name(ReplyCode::ResourceLocked), "RESOURCE_LOCKED");
  EXPECT_EQ(kReplyCodes.size(), 19u);
}

TEST(Error, ReplyText) {  // C-113
  EXPECT_EQ(reply_text(ReplyCode::NotFound, "no queue 'q' in vhost '/'"),
            "NOT_FOUND - no queue 'q' in vhost '/'");
  EXPECT_EQ(reply_text(ReplyCode::NotFound, "no exchange '\xff\xfe'"),
            "NOT_FOUND - no exchange '?"
            "?'");
  EXPECT_EQ(reply_text(ReplyCode::NotFound, ""), "NOT_FOUND");
}

TEST(Error, ReplyTextIsCutAt255Bytes) {  // C-113, C-218
  const std::string text = reply_text(ReplyCode::NotFound, std::string(400, 'x'));
  EXPECT_EQ(text.size(), 255u);
  EXPECT_TRUE(text.starts_with("NOT_FOUND - xxx"));
  const std::string fits(255 - 12, 'y');
  EXPECT_EQ(reply_text(ReplyCode::NotFound, fits), "NOT_FOUND - " + fits);
}

TEST(Error, ReplyTextIsNeverCutInsideACharacter) {
  for (std::size_t lead = 0; lead < 4; ++lead) {
    std::string explanation(lead, 'x');
    while (explanation.size() < 300) explanation += "\xF0\x9F\x90\x87";
    const std::string text = reply_text(ReplyCode::NotFound, explanation);
    EXPECT_TRUE(is_utf8(text)) << lead;
    EXPECT_LE(text.size(), 255u);
    EXPECT_GT(text.size(), 251u);
  }
}

TEST(Error, MethodOfAnError) {
  const MethodId current = QueueDeclare::kId;
  EXPECT_EQ(AmqpError(ReplyCode::NotFound, "").method_or(current), current);
  EXPECT_EQ(AmqpError(ReplyCode::NotFound, "", BasicGet::kId).method_or(current), BasicGet::kId);
  EXPECT_EQ(AmqpError(ReplyCode::FrameError, "", AmqpError::kNoMethod).method_or(current),
            MethodId{});
}

}  // namespace
}  // namespace harrier::protocol
