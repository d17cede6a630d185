// SPDX-License-Identifier: Apache-2.0
#include "broker/config_grammar.hpp"

#include <array>
#include <charconv>
#include <limits>
#include <optional>
#include <utility>

#include <boost/spirit/home/x3.hpp>

namespace harrier::broker {
namespace {

namespace x3 = boost::spirit::x3;
// The standard encoding asserts that there is no byte above 127; this one does not match it.
namespace ascii = boost::spirit::x3::ascii;
using std::chrono::milliseconds;

struct Unit {
  const char* name;
  std::uint64_t factor;
};

// Largest first: printing takes the first that divides.
constexpr std::array<Unit, 7> kSizeUnits = {{{"GiB", 1ULL << 30},
                                             {"MiB", 1ULL << 20},
                                             {"KiB", 1ULL << 10},
                                             {"GB", 1'000'000'000},
                                             {"MB", 1'000'000},
                                             {"KB", 1'000},
                                             {"B", 1}}};
constexpr std::array<Unit, 5> kTimeUnits = {
    {{"d", 86'400'000}, {"h", 3'600'000}, {"m", 60'000}, {"s", 1'000}, {"ms", 1}}};

constexpr std::uint64_t kMaxValue = std::numeric_limits<std::int64_t>::max();

template <std::size_t Count>
x3::symbols<std::uint64_t> symbols_of(const std::array<Unit, Count>& units) {
  x3::symbols<std::uint64_t> symbols;
  for (const Unit& unit : units) symbols.add(unit.name, unit.factor);
  return symbols;
}

// A rule only for its name, which is what the error message says is expected. Actions go inside.
template <class Parser>
auto named(const char* name, Parser parser) {
  return x3::rule<struct NamedTag, x3::unused_type>{name} = parser;
}

const auto kEnd = named("the end", x3::eoi);

// Keeps the text that the parser matched.
template <class Parser>
auto text_into(std::string& target, Parser parser) {
  return x3::raw[parser][([&target](auto& context) {
    target.assign(x3::_attr(context).begin(), x3::_attr(context).end());
  })];
}

auto digits_into(std::string& target) {
  return named("a number", text_into(target, +ascii::digit));
}

std::optional<std::uint64_t> multiply(const std::string& digits, std::uint64_t factor) {
  std::uint64_t number = 0;
  const char* const end = digits.data() + digits.size();
  if (std::from_chars(digits.data(), end, number).ec != std::errc{}) return std::nullopt;
  if (number > kMaxValue / factor) return std::nullopt;
  return number * factor;
}

// Runs a grammar, which starts with `x3::eps >`, over the whole text: then every failure is an
// expectation, and names the rule that was expected.
template <class Grammar>
std::optional<GrammarError> run(const Grammar& grammar, std::string_view text) {
  auto at = text.begin();
  const auto position = [&](auto where) {
    return static_cast<std::size_t>(std::distance(text.begin(), where));
  };
  try {
    if (x3::parse(at, text.end(), grammar > kEnd)) return std::nullopt;
  } catch (const x3::expectation_failure<std::string_view::const_iterator>& failure) {
    return GrammarError{position(failure.where()), "expected " + failure.which()};
  }
  return GrammarError{position(at), "cannot be read"};
}

GrammarError too_large() { return {0, "too large"}; }

}  // namespace

Parsed<std::uint64_t> parse_size(std::string_view text) {
  static const auto kUnits = symbols_of(kSizeUnits);
  std::string digits;
  std::uint64_t factor = 1;
  const auto keep_factor = [&](auto& context) { factor = x3::_attr(context); };
  const auto unit = named("a unit (B, KB, KiB, MB, MiB, GB, GiB)", kUnits[keep_factor] | x3::eoi);
  const auto grammar = x3::eps > digits_into(digits) > -x3::lit(' ') > unit;
  if (auto error = run(grammar, text)) return *std::move(error);
  if (const auto bytes = multiply(digits, factor)) return *bytes;
  return too_large();
}

Parsed<milliseconds> parse_duration(std::string_view text) {
  static const auto kUnits = symbols_of(kTimeUnits);
  if (text == "0") return milliseconds{0};
  std::string digits;
  std::uint64_t total = 0;
  bool overflow = false;
  const auto add_part = [&](auto& context) {
    const auto part = multiply(digits, x3::_attr(context));
    if (!part || *part > kMaxValue - total) {
      overflow = true;
    } else {
      total += *part;
    }
  };
  const auto number = digits_into(digits);
  const auto unit = named("a unit (ms, s, m, h, d)", kUnits[add_part]);
  const auto grammar = x3::eps > number > unit > *((!x3::eoi) > number > unit);
  if (auto error = run(grammar, text)) return *std::move(error);
  if (overflow) return too_large();
  return milliseconds{static_cast<std::int64_t>(total)};
}

Parsed<Endpoint> parse_endpoint(std::string_view text) {
  Endpoint endpoint;
  const auto keep_port = [&](auto& context) { endpoint.port = x3::_attr(context); };
  const auto name = text_into(endpoint.host, +(ascii::alnum | ascii::char_("._-")));
  const auto ipv6 = named("an IPv6 address",
                          &(*ascii::xdigit >> ':') >>
                              text_into(endpoint.host, +(ascii::xdigit | ascii::char_(":.")) >>
                                                           -(ascii::char_('%') >> +ascii::alnum)));
  const auto host =
      named("a host name or address", (x3::lit('[') > ipv6 > named("']'", x3::lit(']'))) | name);
  const auto colon = named("':' and a port", x3::lit(':'));
  const auto port = named("a port (0 to 65535)", x3::ushort_[keep_port]);
  const auto grammar = x3::eps > host > colon > port;
  if (auto error = run(grammar, text)) return *std::move(error);
  return endpoint;
}

std::string print_size(std::uint64_t bytes) {
  for (const Unit& unit : kSizeUnits) {
    if (bytes >= unit.factor && bytes % unit.factor == 0) {
      return std::to_string(bytes / unit.factor) + unit.name;
    }
  }
  return "0B";
}

std::string print_duration(milliseconds duration) {
  if (duration.count() == 0) return "0s";
  std::string text;
  auto rest = static_cast<std::uint64_t>(duration.count());
  for (const Unit& unit : kTimeUnits) {
    if (rest >= unit.factor) text += std::to_string(rest / unit.factor) + unit.name;
    rest %= unit.factor;
  }
  return text;
}

std::string describe(const GrammarError& error, std::string_view text) {
  std::string described = error.text;
  if (error.position < text.size()) {
    described += " at character " + std::to_string(error.position + 1) + " of";
  } else {
    described += " after";
  }
  return described.append(" \"").append(text).append("\"");
}

}  // namespace harrier::broker
