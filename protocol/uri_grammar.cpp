// SPDX-License-Identifier: Apache-2.0
#include "protocol/uri_grammar.hpp"

#include <boost/fusion/include/at_c.hpp>
#include <boost/spirit/home/x3.hpp>

namespace harrier::protocol {
namespace {

namespace x3 = boost::spirit::x3;
using x3::standard::char_;
using x3::standard::lit;

// Rule names are what error messages say was expected. RFC 3986 section 2: unreserved, sub-delims,
// percent-encoded.
const auto hex_octet = x3::rule<struct HexOctet, char>{"two hex digits after '%'"} =
    x3::uint_parser<std::uint8_t, 16, 2, 2>{};
const auto encoded = lit('%') > hex_octet;
const auto plain = char_("A-Za-z0-9") | char_("-._~!$'()*+,;");
const auto word = x3::rule<struct Word, std::string>{"word"} = *(encoded | plain | char_("&="));
const auto host_name = x3::rule<struct HostName, std::string>{"a host name"} =
    +(encoded | plain | char_("&="));
const auto segment = x3::rule<struct Segment, std::string>{"a virtual host"} =
    *(encoded | plain | char_("&=:@"));
const auto query_key = x3::rule<struct QueryKey, std::string>{"a name before '='"} =
    +(encoded | plain | char_(":@/?"));
const auto query_value = x3::rule<struct QueryValue, std::string>{"a value"} =
    *(encoded | plain | char_(":@/?="));

const auto slashes = x3::rule<struct Slashes>{"'://'"} = lit("://");
const auto end = x3::rule<struct End>{"the end, or one of ':', '/', '?' where it fits"} = x3::eoi;

// Groups of up to four hex digits; the last two may be written as an IPv4 address; one "::" stands
// for all missing groups.
bool is_ipv4(std::string_view text) {
  const auto octet = x3::uint_parser<std::uint8_t, 10, 1, 3>{};
  return x3::parse(text.begin(), text.end(),
                   octet >> '.' >> octet >> '.' >> octet >> '.' >> octet >> x3::eoi);
}

// The number of 16-bit groups; nullopt if a group is not one.
std::optional<std::size_t> count_groups(std::string_view text, bool may_end_in_ipv4) {
  std::size_t count = 0;
  while (!text.empty()) {
    const std::size_t colon = text.find(':');
    const std::string_view group = text.substr(0, colon);
    const bool last = colon == std::string_view::npos;
    if (last && may_end_in_ipv4 && is_ipv4(group)) return count + 2;
    if (group.empty() || group.size() > 4 || group.find('.') != std::string_view::npos) {
      return std::nullopt;
    }
    ++count;
    if (last) break;
    text.remove_prefix(colon + 1);
    if (text.empty()) return std::nullopt;  // ends in a colon
  }
  return count;
}

bool is_ipv6(std::string_view text) {
  constexpr std::size_t kGroups = 8;
  const std::size_t gap = text.find("::");
  if (gap == std::string_view::npos) return count_groups(text, true) == kGroups;
  const auto before = count_groups(text.substr(0, gap), false);
  const auto after = count_groups(text.substr(gap + 2), true);
  return before && after && *before + *after < kGroups;
}

const auto ipv6_text = x3::rule<struct Ipv6Text, std::string>{"text"} = +char_("0-9A-Fa-f:.");
const auto bracket = x3::rule<struct Bracket>{"']' after the IPv6 address"} = lit(']');

const auto equals = x3::rule<struct Equals>{"'=' and a value"} = lit('=');

}  // namespace

std::variant<AmqpUri, UriError> parse_uri(std::string_view text) {
  AmqpUri out;
  const auto set_tls = [&](auto&) { out.tls = true; };
  const auto set_user = [&](auto& context) {
    out.user = boost::fusion::at_c<0>(x3::_attr(context));
    if (const auto& password = boost::fusion::at_c<1>(x3::_attr(context))) out.password = *password;
  };
  const auto set_host = [&](auto& context) { out.host = x3::_attr(context); };
  const auto check_ipv6 = [&](auto& context) {
    out.host = x3::_attr(context);
    x3::_pass(context) = is_ipv6(out.host);
  };
  const auto check_port = [&](auto& context) {
    out.port = x3::_attr(context);
    x3::_pass(context) = out.port != 0;
  };
  const auto set_vhost = [&](auto& context) { out.vhost = x3::_attr(context); };
  const auto add_query = [&](auto& context) {
    out.query.emplace_back(boost::fusion::at_c<0>(x3::_attr(context)),
                           boost::fusion::at_c<1>(x3::_attr(context)));
  };

  const auto scheme = x3::rule<struct Scheme>{"amqp:// or amqps://"} =
      x3::no_case[lit("amqp")] >> -x3::no_case[lit('s')][set_tls];
  const auto user_part = (word >> -(':' >> word) >> '@')[set_user];
  // Rules around the actions, because an action hides the name of what it is attached to.
  const auto ipv6 = x3::rule<struct Ipv6>{"an IPv6 address"} = ipv6_text[check_ipv6];
  const auto port = x3::rule<struct Port>{"a port between 1 and 65535"} =
      x3::uint_parser<std::uint16_t>{}[check_port];
  const auto host = ('[' > ipv6 > bracket) | host_name[set_host];
  const auto pair = (query_key > equals > query_value)[add_query];
  const auto uri = x3::eps > scheme > slashes > -user_part > -host > -(':' > port) >
                   -('/' > segment[set_vhost]) > -('?' > -(pair % '&')) > end;
  auto at = text.begin();
  try {
    x3::parse(at, text.end(), uri);
    return out;
  } catch (const x3::expectation_failure<std::string_view::const_iterator>& failure) {
    return UriError{static_cast<std::size_t>(failure.where() - text.begin()),
                    "expected " + failure.which()};
  }
}

std::string describe(const UriError& error, std::string_view text) {
  return std::string(text) + '\n' + std::string(error.position, ' ') + "^ " + error.message;
}

}  // namespace harrier::protocol
