// SPDX-License-Identifier: Apache-2.0
//
// Any text as a configuration file, as a setting and as the values inside one: it is read or
// refused with a text, and what was read prints to a file that reads back as the same
// configuration.
#include "broker/config.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <string>
#include <string_view>
#include <variant>

#include "broker/config_grammar.hpp"

namespace {

using namespace harrier::broker;

void check(bool holds, std::string_view what) {
  if (holds) return;
  std::cerr << "broken: " << what << '\n';
  std::abort();
}

template <class Value, class Print, class Parse>
void check_round_trip(const Parsed<Value>& parsed, std::string_view text, Print print,
                      Parse parse) {
  if (const auto* error = std::get_if<GrammarError>(&parsed)) {
    check(error->position <= text.size(), "an error points into the text");
    check(!describe(*error, text).empty(), "an error has a text");
  } else {
    check(parse(print(std::get<Value>(parsed))) == parsed, "a value prints to what parses back");
  }
}

void check_reads_back(const Config& config) {
  Config again;
  check(read_config_text(print_toml(config), "again", again).empty(), "printed TOML is valid");
  check(again == config, "printed TOML reads back as the same configuration");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(data, data + size);
  check_round_trip(parse_size(text), text, print_size, parse_size);
  check_round_trip(parse_duration(text), text, print_duration, parse_duration);
  check_round_trip(parse_endpoint(text), text, to_string, parse_endpoint);

  Config of_file;
  if (read_config_text(text, "fuzz", of_file).empty()) check_reads_back(of_file);
  Config of_setting;
  if (apply_setting(text, of_setting).empty()) check_reads_back(of_setting);
  return 0;
}
