// SPDX-License-Identifier: Apache-2.0
//
// One run of one script: its variables, connections and clean-up. Used by one thread, once.
// Anything that does not hold ends the run; the outcome says the line, what was expected and what
// came.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tests/scripts/runner_cleanup.hpp"
#include "tests/scripts/runner_target.hpp"
#include "tests/scripts/script_ast.hpp"

namespace harrier::scripts {

struct Outcome {
  bool ok = false;
  std::string failure;  // for people: place, expectation, transcript
};

class ScriptRun {
 public:
  ScriptRun(const Script& script, const Target& target);
  Outcome run();

 private:
  // runner_script.cpp
  void run_lines(std::size_t begin, std::size_t end);
  std::size_t run_block(std::size_t at);  // repeat or for; the position behind its end
  void run_let(const Directive& directive);
  void run_step(const Step& step);
  void close_all();
  Connection& connection(const Step& step);
  std::uint16_t channel_of(const Step& step, std::string_view method) const;
  Deadline deadline() const { return target_.deadline(); }

  // runner_actions.cpp: what a script sends and does
  void act(const Step& step);
  bool act_on_connection(const Step& step);
  void open(const Step& step);
  void send_method(const Step& step);
  void send_frame(const Step& step);
  void send_content_part(const Step& step);
  void close(Connection& connection);
  void sync(Connection& connection, std::uint16_t channel, const std::string& queue);

  // runner_expect.cpp: what a script expects
  void expect(const Step& step);
  void expect_method(const Step& step, std::vector<Argument> arguments, Deadline until);
  Received expect_close(const Step& step, std::string_view name,
                        const std::vector<Argument>& arguments, Deadline until);
  void expect_reply(const Step& step);
  void expect_nothing(const Step& step, const std::vector<Argument>& arguments);
  void expect_raw(const Step& step, const std::vector<Argument>& arguments, Deadline until);
  void expect_end(const Step& step, Deadline until);
  void expect_confirms(const Step& step, const std::vector<Argument>& arguments, Deadline until);
  void store(const Captures& captures);

  const Script& script_;
  const Target& target_;
  Variables variables_;
  Cleanup cleanup_;
  std::map<std::string, std::unique_ptr<Connection>> connections_;
  std::vector<std::string> transcript_;
  const Line* current_ = nullptr;
};

// Bytes of positional arguments: hexadecimal words, quoted texts, x"...".
ByteVector raw_bytes(const std::vector<Argument>& arguments, Variables& variables);

}  // namespace harrier::scripts
