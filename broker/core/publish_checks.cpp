// SPDX-License-Identifier: Apache-2.0
#include "broker/core/publish_checks.hpp"

#include <algorithm>
#include <charconv>
#include <string>

#include "broker/core/arguments.hpp"
#include "protocol/error.hpp"

namespace harrier::broker {
namespace {

using protocol::AmqpError;
using protocol::ReplyCode;

[[noreturn]] void refuse_expiration(std::string_view text, const std::string& detail) {
  throw AmqpError(ReplyCode::PreconditionFailed,
                  "invalid expiration '" + std::string(text) + "': " + detail);
}

// Bytes that may stand between quotes in the texts clients know: printable Latin-1 and the named
// control characters.
constexpr std::string_view kNamedControls = "\b\t\n\v\f\r\x1b";
constexpr std::string_view kControlNames = "btnvfre";

bool is_printable(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return (byte >= 0x20 && byte < 0x7f) || byte >= 0xa0 ||
         kNamedControls.find(c) != std::string_view::npos;
}

// A string as the texts quote it, or as a list of numbers if it is not printable: `"ms"`,
// `[1,200]`.
std::string quoted(std::string_view text) {
  std::string out;
  if (!std::all_of(text.begin(), text.end(), is_printable)) {
    for (const char c : text) {
      out += out.empty() ? "[" : ",";
      out += std::to_string(static_cast<unsigned char>(c));
    }
    return out + "]";
  }
  for (const char c : text) {
    const std::size_t control = kNamedControls.find(c);
    if (control != std::string_view::npos) {
      out += '\\';
      out += kControlNames[control];
      continue;
    }
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return '"' + out + '"';
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

}  // namespace

std::optional<std::int64_t> check_expiration(const protocol::PropertiesView& properties) {
  const auto text = properties.text(protocol::kExpiration);
  if (!text) return std::nullopt;

  // One sign slips through, as it does elsewhere (C-310); the number may be longer than any integer
  // type.
  const bool has_sign = !text->empty() && (text->front() == '+' || text->front() == '-');
  const std::string_view unsigned_text = text->substr(has_sign ? 1 : 0);
  const auto digits_end = std::find_if_not(unsigned_text.begin(), unsigned_text.end(), is_digit);
  const auto digit_count = static_cast<std::size_t>(digits_end - unsigned_text.begin());
  if (digit_count == 0) refuse_expiration(*text, "no_integer");
  const std::string_view leftover = unsigned_text.substr(digit_count);
  if (!leftover.empty()) refuse_expiration(*text, "{leftover_string," + quoted(leftover) + "}");

  std::string_view digits = unsigned_text.substr(0, digit_count);
  digits.remove_prefix(std::min(digits.find_first_not_of('0'), digits.size() - 1));
  if (text->front() == '-' && digits != "0") {
    refuse_expiration(*text, "{value_negative,-" + std::string(digits) + "}");
  }
  std::int64_t milliseconds = 0;
  const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), milliseconds);
  if (parsed.ec != std::errc{} || milliseconds > kMillisecondsMax) {
    refuse_expiration(*text, "{value_too_large," + std::string(digits) + "}");
  }
  return milliseconds;
}

void check_sender_selected(const protocol::PropertiesView& properties) {
  const protocol::TableView headers = properties.headers();
  if (headers.empty()) return;
  for (const std::string_view key : {"CC", "BCC"}) {
    const auto value = headers.find(key);
    if (!value || value->as_array()) continue;
    throw AmqpError(ReplyCode::PreconditionFailed,
                    "invalid message: {unacceptable_type_in_header,\"" + std::string(key) + "\"," +
                        std::string(value->type_name()) + "}");
  }
}

void check_user_id(const protocol::PropertiesView& properties, std::string_view connection_user,
                   bool impersonator) {
  const auto user_id = properties.text(protocol::kUserId);
  if (!user_id || *user_id == connection_user || impersonator) return;
  throw AmqpError(ReplyCode::PreconditionFailed,
                  "user_id property set to '" + std::string(*user_id) +
                      "' but authenticated user was '" + std::string(connection_user) + "'");
}

}  // namespace harrier::broker
