// SPDX-License-Identifier: Apache-2.0
//
// Configuration: values and their grammars, the texts of mistakes, files against the command line,
// and that docs/configuration.md says what the code says.
#include "broker/config.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "broker/cli/cli.hpp"
#include "broker/config_grammar.hpp"

namespace harrier::broker {
namespace {

using std::chrono::milliseconds;
using namespace std::chrono_literals;

template <class Value>
std::string error_of(const Parsed<Value>& parsed, std::string_view text) {
  const auto* error = std::get_if<GrammarError>(&parsed);
  return error == nullptr ? "no error" : describe(*error, text);
}

// The errors of one TOML text as lines, as `serve` prints them.
std::string errors_of(std::string_view toml) {
  Config config;
  std::string lines;
  for (const auto& error : read_config_text(toml, "h.toml", config)) lines += error + "\n";
  return lines;
}

Config read(std::string_view toml) {
  Config config;
  const auto errors = read_config_text(toml, "h.toml", config);
  EXPECT_EQ(errors, ConfigErrors{});
  return config;
}

TEST(SizeGrammar, ReadsNumbersAndUnits) {
  struct {
    const char* text;
    std::uint64_t bytes;
  } const cases[] = {{"0", 0},           {"4096", 4096},        {"1B", 1},
                     {"3KB", 3000},      {"3KiB", 3072},        {"16 MiB", 16 * kMiB},
                     {"2MB", 2'000'000}, {"1GiB", 1024 * kMiB}, {"1GB", 1'000'000'000}};
  for (const auto& one : cases) {
    EXPECT_EQ(parse_size(one.text), Parsed<std::uint64_t>(one.bytes)) << one.text;
  }
}

TEST(SizeGrammar, PointsAtTheCharacter) {
  struct {
    const char* text;
    const char* error;
  } const cases[] = {
      {"", "expected a number after \"\""},
      {"MiB", "expected a number at character 1 of \"MiB\""},
      {"-1", "expected a number at character 1 of \"-1\""},
      {"16MX", "expected a unit (B, KB, KiB, MB, MiB, GB, GiB) at character 3 of \"16MX\""},
      {"16mib", "expected a unit (B, KB, KiB, MB, MiB, GB, GiB) at character 3 of \"16mib\""},
      {"16MiB ", "expected the end at character 6 of \"16MiB \""},
      {"1.5GiB", "expected a unit (B, KB, KiB, MB, MiB, GB, GiB) at character 2 of \"1.5GiB\""},
      {"99999999999999999999", "too large at character 1 of \"99999999999999999999\""},
      {"9999999999GiB", "too large at character 1 of \"9999999999GiB\""},
  };
  for (const auto& one : cases) {
    EXPECT_EQ(error_of(parse_size(one.text), one.text), one.error);
  }
}

TEST(DurationGrammar, ReadsOneOrMoreParts) {
  struct {
    const char* text;
    milliseconds duration;
  } const cases[] = {{"0", 0ms},     {"0s", 0ms}, {"500ms", 500ms}, {"10s", 10s},
                     {"1m30s", 90s}, {"2h", 2h},  {"1d", 24h},      {"1s1ms", 1001ms}};
  for (const auto& one : cases) {
    EXPECT_EQ(parse_duration(one.text), Parsed<milliseconds>(one.duration)) << one.text;
  }
}

TEST(DurationGrammar, PointsAtTheCharacter) {
  struct {
    const char* text;
    const char* error;
  } const cases[] = {
      {"", "expected a number after \"\""},
      {"10", "expected a unit (ms, s, m, h, d) after \"10\""},
      {"10x", "expected a unit (ms, s, m, h, d) at character 3 of \"10x\""},
      {"1m30", "expected a unit (ms, s, m, h, d) after \"1m30\""},
      {"1m s", "expected a number at character 3 of \"1m s\""},
      {"200000000000000d", "too large at character 1 of \"200000000000000d\""},
  };
  for (const auto& one : cases) {
    EXPECT_EQ(error_of(parse_duration(one.text), one.text), one.error);
  }
}

TEST(EndpointGrammar, ReadsNamesAndBothAddressFamilies) {
  struct {
    const char* text;
    Endpoint endpoint;
  } const cases[] = {{"127.0.0.1:5672", {"127.0.0.1", 5672}},
                     {"[::1]:5672", {"::1", 5672}},
                     {"[fe80::1%eth0]:0", {"fe80::1%eth0", 0}},
                     {"mq-1.example.org:65535", {"mq-1.example.org", 65535}}};
  for (const auto& one : cases) {
    EXPECT_EQ(parse_endpoint(one.text), Parsed<Endpoint>(one.endpoint)) << one.text;
    EXPECT_EQ(to_string(one.endpoint), one.text);
  }
}

TEST(EndpointGrammar, PointsAtTheCharacter) {
  struct {
    const char* text;
    const char* error;
  } const cases[] = {
      {"", "expected a host name or address after \"\""},
      {"\xc3\xa4:1", "expected a host name or address at character 1 of \"\xc3\xa4:1\""},
      {":5672", "expected a host name or address at character 1 of \":5672\""},
      {"localhost", "expected ':' and a port after \"localhost\""},
      {"localhost:", "expected a port (0 to 65535) after \"localhost:\""},
      {"localhost:65536", "expected a port (0 to 65535) at character 11 of \"localhost:65536\""},
      {"[::1:5672", "expected ']' after \"[::1:5672\""},
      {"::1:5672", "expected a host name or address at character 1 of \"::1:5672\""},
      {"a:1 ", "expected the end at character 4 of \"a:1 \""},
  };
  for (const auto& one : cases) {
    EXPECT_EQ(error_of(parse_endpoint(one.text), one.text), one.error);
  }
}

TEST(ConfigGrammar, WhatIsPrintedReadsBack) {
  for (const std::uint64_t bytes : {0ULL, 1ULL, 1000ULL, 1023ULL, 1024ULL, 131072ULL, 1ULL << 40}) {
    EXPECT_EQ(parse_size(print_size(bytes)), Parsed<std::uint64_t>(bytes));
  }
  for (const auto duration : {0ms, 1ms, 999ms, 1000ms, 61'001ms, 86'400'000ms}) {
    EXPECT_EQ(parse_duration(print_duration(duration)), Parsed<milliseconds>(duration));
  }
  EXPECT_EQ(print_size(16 * kMiB), "16MiB");
  EXPECT_EQ(print_duration(90s), "1m30s");
}

TEST(Config, AnEmptyFileChangesNothing) { EXPECT_EQ(read(""), Config{}); }

TEST(Config, EveryKeyPrintsItsDefaultAndReadsItBack) {
  const std::string defaults = print_toml(Config{});
  EXPECT_EQ(read(defaults), Config{}) << defaults;
}

TEST(Config, ReadsEverySection) {
  const Config config = read(R"(
listen = ["0.0.0.0:5672", "[::1]:5673"]
data = "/srv/mq"
shards = 3
vhosts = ["/", "orders"]
log.level = "debug"
[server_properties]
cluster_name = "blue"
[auth]
loopback_users = []
anonymous_user = "none"
[limits]
connections_max = 10
channels_max = 5
frame_max = 4096
handshake_frame_max = "8KiB"
message_max = "512MiB"
[connection]
heartbeat = "0"
handshake_timeout = "2s"
close_timeout = "250ms"
write_buffer_high = "64KiB"
[consumer]
unsent_messages_max = 7
unsent_bytes_max = "2KiB"
[channel]
qos_updates_consumers = "always"
[memory]
limit = "1GiB"
page_out_above = "100MiB"
queue_window = "4KiB"
queue_windows_max = "8MiB"
shard_window = "1MiB"
[store]
level = "os"
segment = "1MiB"
disk_free_min = 0
checkpoint_interval = "50ms"
)");
  EXPECT_EQ(config.listen, (std::vector<Endpoint>{{"0.0.0.0", 5672}, {"::1", 5673}}));
  EXPECT_EQ(config.data, "/srv/mq");
  EXPECT_EQ(config.shards, 3U);
  EXPECT_EQ(config.vhosts, (std::vector<std::string>{"/", "orders"}));
  EXPECT_EQ(config.log.level, LogLevel::Debug);
  EXPECT_EQ(config.identity.server_properties.at("cluster_name"), "blue");
  EXPECT_TRUE(config.auth.loopback_users.empty());
  EXPECT_FALSE(config.auth.anonymous_allowed());
  EXPECT_EQ(config.limits.connections_max, 10U);
  EXPECT_EQ(config.limits.channels_max, 5U);
  EXPECT_EQ(config.limits.frame_max_bytes, 4096U);
  EXPECT_EQ(config.limits.handshake_frame_max_bytes, 8192U);
  EXPECT_EQ(config.limits.message_max_bytes, 512 * kMiB);
  EXPECT_EQ(config.connection.heartbeat, 0ms);
  EXPECT_EQ(config.connection.handshake_timeout, 2s);
  EXPECT_EQ(config.connection.close_timeout, 250ms);
  EXPECT_EQ(config.connection.write_buffer_high_bytes, 64 * kKiB);
  EXPECT_EQ(config.consumer.unsent_max_messages, 7U);
  EXPECT_EQ(config.consumer.unsent_max_bytes, 2 * kKiB);
  EXPECT_EQ(config.channel.qos_updates_consumers, QosUpdates::Always);
  EXPECT_EQ(config.memory.limit.bytes_of(1), 1024 * kMiB);
  EXPECT_EQ(config.memory.page_out_above.bytes_of(1), 100 * kMiB);
  EXPECT_EQ(config.memory.queue_window_bytes, 4 * kKiB);
  EXPECT_EQ(config.memory.resident_bytes_max, 8 * kMiB);
  EXPECT_EQ(config.memory.shard_window_bytes, kMiB);
  EXPECT_EQ(config.store.level, StoreLevel::Os);
  EXPECT_EQ(config.store.segment_bytes, kMiB);
  EXPECT_EQ(config.store.disk_free_min_bytes, 0U);
  EXPECT_EQ(config.store.checkpoint_interval, 50ms);
  EXPECT_EQ(read(print_toml(config)), config);
}

TEST(Config, OddTextsReadBack) {
  Config config;
  config.data = "odd \"\\\x01\x7f\n";
  config.identity.server_properties = {
      {"a b", "it's \"quoted\""}, {"a'b", "it's"}, {"x.y", "tab\tand\nline"}};
  EXPECT_EQ(read(print_toml(config)), config) << print_toml(config);
}

TEST(Config, LettersOfAnyAlphabet) {
  const Config config = read("data = \"gr\u00fcn/\u4e2d\u3000\" # \u00e4\u00f6\u00fc\n");
  EXPECT_EQ(config.data, "gr\u00fcn/\u4e2d\u3000");
  EXPECT_TRUE(errors_of("gr\u00fcn = 1\n").starts_with("h.toml:1: "));
  EXPECT_EQ(read(print_toml(config)), config);
}

TEST(Config, CompatIsAnIdentityThatSingleKeysOverride) {
  EXPECT_EQ(read("compat.rabbitmq = true").identity.product, "RabbitMQ");
  EXPECT_EQ(read("compat.rabbitmq = true").identity.version, "4.2.0");
  const Config config = read("[compat]\nversion = \"3.13.7\"\nrabbitmq = true\n");
  EXPECT_EQ(config.identity.product, "RabbitMQ");
  EXPECT_EQ(config.identity.version, "3.13.7");
  EXPECT_EQ(read("compat.rabbitmq = false"), Config{});
}

TEST(Config, MemoryLimitIsAShareOrASize) {
  EXPECT_EQ(Config{}.memory.limit.bytes_of(1000), 400U);
  EXPECT_EQ(read("memory.limit = 0.5").memory.limit.bytes_of(1000), 500U);
  EXPECT_EQ(read("memory.limit = \"64MiB\"").memory.limit.bytes_of(1000), 64 * kMiB);
  EXPECT_EQ(Config{}.memory.page_out_above.bytes_of(1000), 500U);
  EXPECT_EQ(read("memory.page_out_above = 0.0").memory.page_out_above.bytes_of(1000), 0U);
}

TEST(ConfigErrors, UnknownKeysNameLineAndNearestKey) {
  EXPECT_EQ(errors_of("[limits]\nframe_maxx = 1\n"),
            "h.toml:2: unknown key \"limits.frame_maxx\"; did you mean \"limits.frame_max\"?\n");
  EXPECT_EQ(errors_of("\nheartbeat = \"10s\"\n"),
            "h.toml:2: unknown key \"heartbeat\"; did you mean \"connection.heartbeat\"?\n");
  EXPECT_EQ(errors_of("listne = []\n"),
            "h.toml:1: unknown key \"listne\"; did you mean \"listen\"?\n");
  EXPECT_EQ(errors_of("[clustering_and_more]\nx = 1\n"),
            "h.toml:1: unknown key \"clustering_and_more\"; `harrier config` prints all keys\n");
  EXPECT_EQ(errors_of("limits = 3\n"), "h.toml:1: \"limits\" is a section: [limits]\n");
}

TEST(ConfigErrors, BadValuesSayWhatIsAllowed) {
  EXPECT_EQ(errors_of("shards = -1\n"),
            "h.toml:1: shards: expected 0 to 64, got -1 (integer, 0 to 64; default 0)\n");
  EXPECT_EQ(errors_of("shards = \"two\"\n"),
            "h.toml:1: shards: expected an integer, got \"two\" (integer, 0 to 64; default 0)\n");
  EXPECT_EQ(errors_of("[limits]\n\nmessage_max = \"16MX\"\n"),
            "h.toml:3: limits.message_max: expected a unit (B, KB, KiB, MB, MiB, GB, GiB) at "
            "character 3 of \"16MX\" (size, 1B to 512MiB; default \"16MiB\")\n");
  EXPECT_EQ(errors_of("limits.frame_max = 4095\n"),
            "h.toml:1: limits.frame_max: expected 4KiB to 128MiB, got 4095 (size, 4KiB to 128MiB; "
            "default \"128KiB\")\n");
  EXPECT_EQ(
      errors_of("connection.heartbeat = 60\n"),
      "h.toml:1: connection.heartbeat: expected a duration such as \"10s\", got 60 (duration, "
      "0s to 18h12m15s; default \"1m\")\n");
  EXPECT_EQ(errors_of("connection.heartbeat = \"1500ms\"\n"),
            "h.toml: connection.heartbeat: whole seconds only, the protocol has no smaller unit\n");
  EXPECT_EQ(
      errors_of("log.level = \"loud\"\n"),
      "h.toml:1: log.level: expected one of trace, debug, info, warn, error, off, got \"loud\" "
      "(one of, trace, debug, info, warn, error, off; default \"info\")\n");
  EXPECT_EQ(errors_of("listen = [\"localhost\"]\n"),
            "h.toml:1: listen: expected ':' and a port after \"localhost\" (list of texts, "
            "address:port, [ipv6]:port; default [\"127.0.0.1:5672\"])\n");
  EXPECT_EQ(errors_of("vhosts = []\n"),
            "h.toml:1: vhosts: the list is empty (list of texts, names; default [\"/\"])\n");
  EXPECT_EQ(
      errors_of("memory.limit = 0.0\n"),
      "h.toml:1: memory.limit: expected above 0.0 to 1.0, or a size of 64MiB and more, got "
      "0.000000 (fraction or size, above 0.0 to 1.0, or a size of 64MiB and more; default 0.4)\n");
  EXPECT_EQ(errors_of("data = 1979-05-27\n"), "h.toml:1: data: expected a text (a directory)\n");
}

TEST(ConfigErrors, AllMistakesAtOnceInTheOrderOfTheFile) {
  const std::string lines =
      errors_of("vhosts = []\nshards = true\n[log]\nlevel = 1\nlvel = \"info\"\n");
  EXPECT_EQ(std::ranges::count(lines, '\n'), 4) << lines;
  EXPECT_LT(lines.find("h.toml:1:"), lines.find("h.toml:2:"));
  EXPECT_LT(lines.find("h.toml:4:"), lines.find("h.toml:5:"));
}

TEST(ConfigErrors, SyntaxErrorsNameLineAndColumn) {
  const std::string lines = errors_of("data = \"x\"\nlisten = [\n");
  EXPECT_TRUE(lines.starts_with("h.toml:2: not TOML at column ")) << lines;
}

TEST(ConfigErrors, WhatIsNoTextIsRefused) {
  for (const std::string_view odd : {std::string_view("[\0x]\n", 5), std::string_view("[%x]\n"),
                                     std::string_view("data = \"\xff\"\n")}) {
    EXPECT_TRUE(errors_of(odd).starts_with("h.toml:1: not TOML at column ")) << errors_of(odd);
  }
  Config config;
  EXPECT_EQ(apply_setting("data=a\x01", config).size(), 1U);
  EXPECT_EQ(apply_setting("data=a\xff", config).size(), 1U);
  EXPECT_EQ(apply_setting("data=1\nshards=2", config).size(), 1U);
  EXPECT_EQ(config, Config{});
}

TEST(ConfigErrors, AFileThatCannotBeReadIsNamed) {
  Config config;
  const std::string missing = testing::TempDir() + "no-such-file.toml";
  EXPECT_EQ(read_config_file(missing, config), ConfigErrors{missing + ": cannot be read"});
  EXPECT_EQ(read_config_file(testing::TempDir(), config),
            ConfigErrors{testing::TempDir() + ": cannot be read"});
}

TEST(ConfigSetting, TakesTomlOrABareWord) {
  Config config;
  EXPECT_EQ(apply_setting("log.level=debug", config), ConfigErrors{});
  EXPECT_EQ(apply_setting("limits.frame_max=64KiB", config), ConfigErrors{});
  EXPECT_EQ(apply_setting("shards=2", config), ConfigErrors{});
  EXPECT_EQ(apply_setting("listen=127.0.0.1:0", config), ConfigErrors{});
  EXPECT_EQ(apply_setting("auth.loopback_users=[]", config), ConfigErrors{});
  EXPECT_EQ(config.log.level, LogLevel::Debug);
  EXPECT_EQ(config.limits.frame_max_bytes, 65536U);
  EXPECT_EQ(config.shards, 2U);
  EXPECT_EQ(config.listen, (std::vector<Endpoint>{{"127.0.0.1", 0}}));
  EXPECT_TRUE(config.auth.loopback_users.empty());
}

TEST(ConfigSetting, SaysWhatIsWrong) {
  Config config;
  EXPECT_EQ(apply_setting("shards", config), ConfigErrors{"--set shards: expected KEY=VALUE"});
  EXPECT_EQ(apply_setting("shard=1", config),
            ConfigErrors{"--set shard=1: unknown key \"shard\"; did you mean \"shards\"?"});
  EXPECT_EQ(
      apply_setting("shards=many", config),
      ConfigErrors{"--set shards=many: shards: expected an integer, got \"many\" (integer, 0 to "
                   "64; default 0)"});
}

// The command line

struct Ran {
  int code = -1;
  std::string out;
  std::string err;
  std::optional<Config> served;
};

Ran run(
    std::vector<const char*> words,
    const std::function<ExitCode()>& serve = [] { return ExitCode::Ok; }) {
  words.insert(words.begin(), "harrier");
  Ran ran;
  std::ostringstream out;
  std::ostringstream err;
  ran.code = run_cli(static_cast<int>(words.size()), words.data(), out, err,
                     [&](const Config& config, Task) {
                       ran.served = config;
                       return serve();
                     });
  ran.out = out.str();
  ran.err = err.str();
  return ran;
}

class CliFile : public testing::Test {
 protected:
  ~CliFile() override { std::filesystem::remove(path_); }
  void write(std::string_view text) { std::ofstream(path_) << text; }
  std::string path_ = testing::TempDir() + "harrier-cli-" +
                      testing::UnitTest::GetInstance()->current_test_info()->name() + ".toml";
};

TEST(Cli, ServesTheDefaults) {
  const Ran ran = run({"serve"});
  EXPECT_EQ(ran.code, 0);
  EXPECT_EQ(ran.served, Config{});
  EXPECT_EQ(ran.out + ran.err, "");
}

TEST(Cli, OptionsBecomeConfig) {
  const Ran ran = run({"serve", "--data", "d", "--listen", "127.0.0.1:1", "--listen", "[::1]:2",
                       "--shards", "4", "--log-level", "warn", "--compat-rabbitmq", "--set",
                       "limits.channels_max=9", "--set", "connection.heartbeat=5s"});
  ASSERT_TRUE(ran.served) << ran.err;
  EXPECT_EQ(ran.served->data, "d");
  EXPECT_EQ(ran.served->listen, (std::vector<Endpoint>{{"127.0.0.1", 1}, {"::1", 2}}));
  EXPECT_EQ(ran.served->shards, 4U);
  EXPECT_EQ(ran.served->log.level, LogLevel::Warn);
  EXPECT_EQ(ran.served->identity.product, "RabbitMQ");
  EXPECT_EQ(ran.served->limits.channels_max, 9U);
  EXPECT_EQ(ran.served->connection.heartbeat, 5s);
}

TEST_F(CliFile, OptionsOverrideTheFile) {
  write("shards = 7\ndata = \"of-file\"\n[log]\nlevel = \"error\"\n");
  const Ran ran =
      run({"serve", "--config", path_.c_str(), "--shards", "2", "--set", "data=of-set"});
  ASSERT_TRUE(ran.served) << ran.err;
  EXPECT_EQ(ran.served->shards, 2U);
  EXPECT_EQ(ran.served->data, "of-set");
  EXPECT_EQ(ran.served->log.level, LogLevel::Error);
}

TEST_F(CliFile, BadConfigurationIsExitCode2AndDoesNotServe) {
  write("shardz = 7\n");
  const Ran ran = run({"serve", "--config", path_.c_str(), "--listen", "nowhere"});
  EXPECT_EQ(ran.code, 2);
  EXPECT_FALSE(ran.served);
  EXPECT_EQ(ran.err,
            "harrier: " + path_ +
                ":1: unknown key \"shardz\"; did you mean \"shards\"?\n"
                "harrier: --listen: expected ':' and a port after \"nowhere\" (address:port, "
                "[ipv6]:port)\n");
}

TEST(Cli, UsageErrorsAreExitCode2) {
  for (const auto& words : std::vector<std::vector<const char*>>{{},
                                                                 {"serv"},
                                                                 {"serve", "--shard"},
                                                                 {"serve", "--shards", "x"},
                                                                 {"config", "--data", "x"}}) {
    const Ran ran = run(words);
    EXPECT_EQ(ran.code, 2);
    EXPECT_FALSE(ran.served);
    EXPECT_NE(ran.err.find("--help"), std::string::npos) << ran.err;
  }
}

TEST(Cli, HelpAndVersion) {
  EXPECT_EQ(run({"--version"}).out, "harrier " + std::string(kVersion) + "\n");
  const Ran help = run({"--help"});
  EXPECT_EQ(help.code, 0);
  EXPECT_NE(help.out.find("Exit codes:"), std::string::npos);
  EXPECT_NE(run({"serve", "--help"}).out.find("--compat-rabbitmq"), std::string::npos);
}

TEST(Cli, FailuresOfTheServerBecomeExitCodes) {
  EXPECT_EQ(
      run({"serve"},
          []() -> ExitCode { throw StartError(ExitCode::Listen, "127.0.0.1:5672 is in use"); })
          .err,
      "harrier: 127.0.0.1:5672 is in use\n");
  EXPECT_EQ(run({"serve"}, []() -> ExitCode { throw StartError(ExitCode::Listen, "x"); }).code, 4);
  EXPECT_EQ(
      run({"serve"}, []() -> ExitCode { throw StartError(ExitCode::DataDirectory, "x"); }).code, 3);
  const Ran internal = run({"serve"}, []() -> ExitCode { throw std::runtime_error("odd"); });
  EXPECT_EQ(internal.code, 1);
  EXPECT_EQ(internal.err, "harrier: internal error: odd\n");
}

TEST(Cli, ConfigPrintsWhatWouldBeServed) {
  EXPECT_EQ(run({"config"}).out, print_toml(Config{}));
  Config expected;
  expected.shards = 2;
  EXPECT_EQ(run({"config", "--set", "shards=2"}).out, print_toml(expected));
}

TEST(ConfigDocumentation, SaysWhatTheCodeSays) {
  std::ifstream file(HARRIER_CONFIG_DOC);
  ASSERT_TRUE(file) << HARRIER_CONFIG_DOC;
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  EXPECT_EQ(text, print_markdown()) << "harrier config --markdown > docs/configuration.md";
}

}  // namespace
}  // namespace harrier::broker
