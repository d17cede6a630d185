// SPDX-License-Identifier: Apache-2.0
//
// Arbitrary bytes, arbitrarily cut, into one session of an engine with two. Input: one octet of
// mode (bit 0: the bytes come after a valid handshake, bit 1: and after channel.open and a queue),
// one that seeds the cutting, then the bytes. Invariants:
// - nothing crashes, no internal error is logged, and a session uses no more than it is given;
// - all that it says is whole frames of an agreed size, methods among them decodable;
// - the other connection of the engine is answered as if nothing had happened;
// - once the peer has gone the session can be forgotten.
#include <array>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "broker/auth/builtin_authenticator.hpp"
#include "broker/core/engine.hpp"

namespace {

using namespace harrier::protocol;  // NOLINT: a fuzz target is one translation unit
using harrier::broker::BuiltinAuthenticator;
using harrier::broker::ConnectionId;
using harrier::broker::CoreOptions;
using harrier::broker::Engine;
using harrier::broker::EngineWorld;
using harrier::broker::Session;

using Bytes = std::vector<std::uint8_t>;

constexpr std::size_t kFrameMax = 4096;

void require(bool condition) {
  if (!condition) std::abort();
}

Engine make_engine() {
  CoreOptions options;
  options.frame_max = kFrameMax;
  options.message_size_max = 64 * 1024;
  options.output_high_bytes = 64 * 1024;
  EngineWorld world;
  world.authenticator = std::make_shared<BuiltinAuthenticator>();
  world.random = [next = std::uint8_t{0}](std::span<std::uint8_t> bytes) mutable {
    for (auto& byte : bytes) byte = ++next;
  };
  world.connection_count = [] { return 2u; };
  world.message_bytes = [] { return std::uint64_t{0}; };
  world.log = [](int level, const std::string&) { require(level < 3); };
  return Engine(0, options, std::move(world));
}

template <class M>
void add(Bytes& bytes, std::uint16_t channel, const M& method) {
  const std::size_t at = bytes.size();
  bytes.resize(at + frame_size(method));
  encode_frame(channel, method, bytes.data() + at);
}

Bytes handshake() {
  Bytes bytes(kProtocolHeader.begin(), kProtocolHeader.end());
  ConnectionStartOk start;
  start.response = std::string_view("\0guest\0guest", 12);
  ConnectionTuneOk tune;
  tune.channel_max = 16;
  tune.frame_max = kFrameMax;
  add(bytes, 0, start);
  add(bytes, 0, tune);
  add(bytes, 0, ConnectionOpen{});
  return bytes;
}

Bytes opening() {
  Bytes bytes;
  QueueDeclare declare;
  declare.queue = "q";
  add(bytes, 1, ChannelOpen{});
  add(bytes, 1, declare);
  return bytes;
}

// One simulated connection: what has been read and not used, what has been said and not looked at.
struct Peer {
  Session* session;
  Bytes pending;
  Bytes said;
  bool over = false;
};

void take_output(Peer& peer) {
  while (!peer.session->output().empty()) {
    std::array<ByteView, 1> slice;
    require(peer.session->output().gather(slice) == 1);
    peer.said.insert(peer.said.end(), slice[0].begin(), slice[0].end());
    peer.session->output().consume(slice[0].size());
  }
  peer.session->flushed();
}

void feed(Peer& peer) {
  if (!peer.session->wants_input()) return;
  const Bytes exact = peer.pending;
  const std::size_t used = peer.session->receive(exact);
  require(used <= exact.size());
  peer.pending.erase(peer.pending.begin(),
                     peer.pending.begin() + static_cast<std::ptrdiff_t>(used));
}

void turn(Engine& engine, std::array<Peer, 2>& peers) {
  for (;;) {
    engine.end_turn();
    const auto dirty = engine.take_dirty();
    if (dirty.empty()) return;
    for (Peer& peer : peers) {
      if (peer.over) continue;
      take_output(peer);
      if (peer.session->wants_close()) {
        peer.over = true;
        peer.session->peer_gone();
      } else if (!peer.pending.empty()) {
        feed(peer);
      }
    }
  }
}

void give(Engine& engine, std::array<Peer, 2>& peers, Peer& to, ByteView bytes) {
  if (to.over) return;
  to.pending.insert(to.pending.end(), bytes.begin(), bytes.end());
  to.session->heard();
  feed(to);
  turn(engine, peers);
}

// Whole frames, after a protocol header where that was the answer; returns the methods' names.
std::string check_said(const Bytes& said) {
  ByteView rest = said;
  std::string names;
  while (!rest.empty()) {
    if (rest.size() >= 8 &&
        std::equal(kProtocolHeader.begin(), kProtocolHeader.end(), rest.begin())) {
      require(rest.size() == 8);
      break;
    }
    const FrameResult result = read_frame(rest, kFrameMax);
    require(result.status == FrameStatus::Complete && result.size <= kFrameMax);
    if (result.frame.type == static_cast<std::uint8_t>(FrameType::Method)) {
      Method method;
      const DecodeStatus status = decode_method(result.frame.payload, method);
      // The text of a close may quote a publish, whose names may be any bytes (C-085).
      const MethodId id = peek_method(result.frame.payload).value_or(MethodId{});
      require(status == DecodeStatus::Ok ||
              (status == DecodeStatus::BadUtf8 &&
               (id == ChannelClose::kId || id == ConnectionClose::kId)));
      names += std::string(name_of(method)) + "\n";
    }
    rest = rest.subspan(result.size);
  }
  return names;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  Engine engine = make_engine();
  std::array<Peer, 2> peers = {
      Peer{&engine.open_connection({"127.0.0.1", 1, "127.0.0.1", 2}), {}, {}},
      Peer{&engine.open_connection({"127.0.0.1", 3, "127.0.0.1", 2}), {}, {}}};
  turn(engine, peers);
  Peer& attacker = peers[0];
  Peer& bystander = peers[1];
  give(engine, peers, bystander, handshake());
  if (data[0] & 1) give(engine, peers, attacker, handshake());
  if ((data[0] & 3) == 3) give(engine, peers, attacker, opening());

  std::uint32_t seed = data[1];
  ByteView rest(data + 2, size - 2);
  while (!rest.empty() && !attacker.over) {
    seed = seed * 1664525u + 1013904223u;
    const std::size_t cut = data[1] == 0 ? rest.size() : 1 + (seed >> 16) % 200;
    const ByteView chunk = rest.first(std::min(cut, rest.size()));
    give(engine, peers, attacker, chunk);
    rest = rest.subspan(chunk.size());
  }

  bystander.said.clear();
  Bytes greeting;
  QueueDeclare declare;
  declare.exclusive = true;
  add(greeting, 1, ChannelOpen{});
  add(greeting, 1, declare);
  give(engine, peers, bystander, greeting);
  require(check_said(bystander.said) == "channel.open-ok\nqueue.declare-ok\n");

  check_said(attacker.said);
  for (Peer& peer : peers) {
    peer.over = true;
    peer.session->peer_gone();
  }
  turn(engine, peers);
  for (Peer& peer : peers) {
    require(peer.session->finished());
    engine.forget(peer.session->id());
  }
  require(engine.info().connections == 0);
  return 0;
}
