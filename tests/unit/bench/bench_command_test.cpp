// SPDX-License-Identifier: Apache-2.0
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <sstream>

#include <gtest/gtest.h>

#include "broker/bench/target.hpp"
#include "broker/cli/cli.hpp"

namespace harrier::broker {
namespace {

struct Ran {
  int code = 0;
  std::string out, err;
};

Ran run(std::vector<const char*> words) {
  words.insert(words.begin(), {"harrier", "bench"});
  std::ostringstream out, err;
  Ran ran;
  ran.code = run_cli(static_cast<int>(words.size()), words.data(), out, err,
                     [](const Config&, Task) { return ExitCode::Ok; });
  ran.out = out.str();
  ran.err = err.str();
  return ran;
}

// A port on which nobody listens: bound, so that nobody else can begin to.
class DeadPort {
 public:
  DeadPort() : socket_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* const any = reinterpret_cast<sockaddr*>(&address);
    EXPECT_EQ(::bind(socket_, any, size), 0);
    EXPECT_EQ(::getsockname(socket_, any, &size), 0);
    text_ = std::to_string(ntohs(address.sin_port));
  }
  ~DeadPort() { ::close(socket_); }
  const char* text() const { return text_.c_str(); }

 private:
  int socket_;
  std::string text_;
};

TEST(BenchCommand, MistakesAreExitCode2AndSayWhat) {
  const std::vector<std::pair<std::vector<const char*>, const char*>> mistakes = {
      {{"run", "--size", "12"}, "16 bytes"},
      {{"run", "--size", "big"}, "is no size"},
      {{"run", "--bindings", "4"}, "default exchange"},
      {{"run", "--exchange", "odd"}, "exchange type"},
      {{"run", "--backlog"}, "number of messages"},
      {{"run", "--uri", "http://localhost"}, "--uri"},
      {{"run", "--uri", "amqps://localhost"}, "amqps"},
      {{"run", "--queue-argument", "x-max-priority"}, "--queue-argument"},
      {{"run", "--header", "=1"}, "--header"},
      {{"run", "--groups", "customer=many"}, "--groups"},
      {{"run", "--groups", "customer=5", "--priorities", "5"}, "one of the two"},
      {{"run", "--consume-rate", "100"}, "slow consumer"},
      {{"run", "--reject"}, "rejecting"},
      {{"run", "--standing", "100"}, "standing"},
      {{"run", "--pending", "100"}, "x-delayed-message"},
      {{"run", "--exchange", "x-delayed-message"}, "x-delayed-type"},
      {{"rpc", "--in-flight", "0"}, "in flight"},
      {{"case", "nothing"}, "no case \"nothing\""},
      {{"suite", "--cases", "a16", "--against", "localhost"}, "HOST:PORT"},
      {{"suite", "--cases", "a16", "--against", "localhost:x"}, "HOST:PORT"},
      {{"suite", "--cases", "a16,zz"}, "no case \"zz\""},
      {{"suite", "--cases", "a16", "--runs", "0"}, "--runs"},
  };
  for (const auto& [words, text] : mistakes) {
    const Ran ran = run(words);
    EXPECT_EQ(ran.code, 2) << words[0] << ' ' << text;
    EXPECT_NE(ran.err.find(text), std::string::npos) << ran.err;
    EXPECT_EQ(ran.out, "");
  }
  EXPECT_EQ(run({}).code, 2);
  EXPECT_EQ(run({"run", "--nonsense"}).code, 2);
}

TEST(BenchCommand, HelpAndListNeedNoBroker) {
  EXPECT_EQ(run({"--help"}).code, 0);
  const Ran list = run({"list"});
  EXPECT_EQ(list.code, 0);
  EXPECT_NE(list.out.find("c1kx8"), std::string::npos);
}

TEST(BenchCommand, NobodyThereIsExitCode6) {
  const DeadPort port;
  for (const char* command : {"run", "rpc", "idle", "churn", "declare"}) {
    const Ran ran = run({command, "--port", port.text(), "--quiet"});
    EXPECT_EQ(ran.code, 6) << command;
    EXPECT_NE(ran.out.find("cannot connect"), std::string::npos) << ran.out;
  }
  const Ran json = run({"run", "--port", port.text(), "--json", "-"});
  EXPECT_EQ(json.code, 6);
  EXPECT_EQ(json.out.front(), '{');
  EXPECT_NE(json.err.find("cannot connect"), std::string::npos);
}

TEST(BenchTarget, IsFilledInFromAUri) {
  bench::Target target;
  EXPECT_EQ(bench::apply_uri("amqp://me:secret@broker.example:5999/tests", target), "");
  EXPECT_EQ(target.host, "broker.example");
  EXPECT_EQ(target.port, 5999);
  EXPECT_EQ(target.user, "me");
  EXPECT_EQ(target.password, "secret");
  EXPECT_EQ(target.vhost, "tests");
  bench::Target defaults;
  EXPECT_EQ(bench::apply_uri("amqp://", defaults), "");
  EXPECT_EQ(defaults.address(), "127.0.0.1:5672");
  EXPECT_EQ(defaults.vhost, "/");
  EXPECT_EQ(defaults.user, "guest");
}

}  // namespace
}  // namespace harrier::broker
