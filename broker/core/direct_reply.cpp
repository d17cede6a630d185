// SPDX-License-Identifier: Apache-2.0
#include "broker/core/direct_reply.hpp"

#include <array>
#include <charconv>

#include "broker/core/channel_impl.hpp"

namespace harrier::broker {

namespace {

constexpr int kRadix = 36;
constexpr std::size_t kSecretSize = 22;

void append(std::string& name, std::uint64_t value) {
  std::array<char, 16> digits{};
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value, kRadix).ptr;
  name.append(digits.data(), end);
}

template <class T>
bool read(std::string_view& rest, char separator, T& value) {
  const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), value, kRadix);
  const auto used = static_cast<std::size_t>(end - rest.data());
  if (error != std::errc{} || used >= rest.size() || rest[used] != separator) return false;
  rest.remove_prefix(used + 1);
  return true;
}

}  // namespace

std::string make_direct_reply_name(const ChannelRef& channel, std::string_view secret) {
  std::string name(kReplyToPrefix);
  append(name, static_cast<std::uint64_t>(channel.connection));
  name += '-';
  append(name, channel.number);
  name += '-';
  append(name, channel.generation);
  name += '.';
  return name.append(secret);
}

std::optional<ChannelRef> parse_direct_reply_name(std::string_view name) {
  if (!name.starts_with(kReplyToPrefix)) return std::nullopt;
  std::string_view rest = name.substr(kReplyToPrefix.size());
  std::uint64_t connection = 0;
  ChannelRef channel;
  if (!read(rest, '-', connection) || !read(rest, '-', channel.number) ||
      !read(rest, '.', channel.generation)) {
    return std::nullopt;
  }
  channel.connection = ConnectionId{connection};
  if (rest.size() != kSecretSize) return std::nullopt;
  return channel;
}

}  // namespace harrier::broker
