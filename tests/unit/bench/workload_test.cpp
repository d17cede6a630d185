// SPDX-License-Identifier: Apache-2.0
#include "broker/bench/workload.hpp"

#include <random>
#include <set>

#include <gtest/gtest.h>

namespace harrier::bench {
namespace {

TEST(Sizes, AreReadAndPrinted) {
  for (const char* text : {"16", "100-2000", "16:90,4096:10", "16-32:1,64:3"}) {
    Sizes sizes;
    EXPECT_EQ(Sizes::parse(text, sizes), "") << text;
    EXPECT_EQ(sizes.text(), text);
  }
  Sizes sizes;
  EXPECT_EQ(Sizes::parse("16,4096", sizes), "");
  EXPECT_EQ(sizes.text(), "16:1,4096:1");
}

TEST(Sizes, MistakesAreNamed) {
  for (const char* text :
       {"", "x", "16,", "20-10", "16:0", "16:", "-5", "16 ", "1-2-3", "99999999999"}) {
    Sizes sizes;
    EXPECT_NE(Sizes::parse(text, sizes).find("is no size"), std::string::npos) << text;
  }
}

TEST(Sizes, ArePickedByTheirWeights) {
  Sizes sizes;
  ASSERT_EQ(Sizes::parse("16:3,100-102:1", sizes), "");
  EXPECT_FALSE(sizes.constant());
  EXPECT_EQ(sizes.min(), 16u);
  EXPECT_EQ(sizes.max(), 102u);
  std::mt19937_64 random(5);
  std::set<std::uint32_t> seen;
  int small = 0;
  for (int i = 0; i < 10'000; ++i) {
    const std::uint32_t size = sizes.pick(random());
    seen.insert(size);
    small += size == 16 ? 1 : 0;
  }
  EXPECT_EQ(seen, (std::set<std::uint32_t>{16, 100, 101, 102}));
  EXPECT_GT(small, 7200);
  EXPECT_LT(small, 7800);
}

TEST(Presets, AreSoundAndHaveDifferentIds) {
  std::set<std::string> ids;
  for (const Workload& each : presets()) {
    EXPECT_EQ(check(each), "") << each.id;
    EXPECT_TRUE(ids.insert(each.id).second) << each.id;
    EXPECT_FALSE(each.headline.empty()) << each.id;
    EXPECT_EQ(find_preset(each.id), &each);
  }
  for (const char* id : {"a16", "a16x4", "b1k", "c16",   "c1k",  "c1kx8", "c1w1", "c1w1x16",
                         "d1k", "e128",  "f1k", "f100k", "g10k", "g10kp", "g1m",  "g1mp",
                         "h5t", "h20t",  "h5p", "h20p",  "i1",   "i16",   "i1d",  "i16d"}) {
    EXPECT_EQ(ids.count(id), 1u) << id;
  }
  EXPECT_EQ(find_preset("z"), nullptr);
}

std::string wrong(void (*change)(Workload&)) {
  Workload workload;
  change(workload);
  return check(workload);
}

TEST(Check, FindsWhatCannotWork) {
  EXPECT_EQ(check(Workload{}), "");
  EXPECT_NE(wrong([](Workload& w) { w.publishers = 0; }), "");
  EXPECT_NE(wrong([](Workload& w) { w.queues = 0; }), "");
  EXPECT_NE(wrong([](Workload& w) { w.sizes = Sizes(15); }), "");
  EXPECT_EQ(wrong([](Workload& w) { w.sizes = Sizes(16); }), "");
  EXPECT_NE(wrong([](Workload& w) { w.bindings = 3; }), "");
  EXPECT_NE(wrong([](Workload& w) { w.exchange_type = "odd"; }), "");
  EXPECT_NE(wrong([](Workload& w) {
              w.exchange_type = "topic";
              w.queues = 3;
              w.bindings = 2;
            }),
            "");
  EXPECT_NE(wrong([](Workload& w) {
              w.prefetch = 10;
              w.ack_every = 11;
            }),
            "");
  EXPECT_NE(wrong([](Workload& w) { w.backlog = true; }), "");
  EXPECT_NE(wrong([](Workload& w) {
              w.lead_max = 10;
              w.consumers = 0;
            }),
            "");
  EXPECT_NE(wrong([](Workload& w) { w.duration_s = 0; }), "");
  EXPECT_NE(wrong([](Workload& w) {
              w.mode = Mode::Rpc;
              w.in_flight = 0;
            }),
            "");
  EXPECT_NE(wrong([](Workload& w) {
              w.mode = Mode::Idle;
              w.count = 0;
            }),
            "");
}

void acknowledging(Workload& workload) {
  workload.prefetch = 10;
  workload.ack_every = 5;
}

TEST(Check, SlowAndRejectingConsumersAcknowledge) {
  EXPECT_NE(wrong([](Workload& w) { w.consume_rate = 10; }), "");
  EXPECT_NE(wrong([](Workload& w) { w.consume_rate = -1; }), "");
  EXPECT_EQ(wrong([](Workload& w) {
              acknowledging(w);
              w.consume_rate = 10;
            }),
            "");
  EXPECT_NE(wrong([](Workload& w) { w.reject = true; }), "");
  EXPECT_EQ(wrong([](Workload& w) {
              acknowledging(w);
              w.reject = true;
            }),
            "");
  EXPECT_NE(wrong([](Workload& w) {
              acknowledging(w);
              w.reject = true;
              w.exchange_type = "fanout";
            }),
            "");
}

TEST(Check, AStandingBacklogIsHeldByALeadAndAcknowledgements) {
  EXPECT_NE(wrong([](Workload& w) { w.standing = 10; }), "");
  EXPECT_NE(wrong([](Workload& w) {
              w.standing = 10;
              w.lead_max = 5;
            }),
            "");
  EXPECT_EQ(wrong([](Workload& w) {
              acknowledging(w);
              w.standing = 10;
              w.lead_max = 5;
            }),
            "");
  EXPECT_NE(wrong([](Workload& w) {
              acknowledging(w);
              w.standing = 10;
              w.lead_max = 5;
              w.messages = 100;
            }),
            "");
}

TEST(Check, ADelayingExchangeRoutesByAnotherType) {
  Workload workload;
  workload.exchange_type = "x-delayed-message";
  EXPECT_NE(check(workload), "");
  workload.exchange_arguments.add("x-delayed-type", "odd");
  EXPECT_NE(check(workload), "");
  workload.exchange_arguments = protocol::Table().add("x-delayed-type", "topic");
  EXPECT_EQ(check(workload), "");
  EXPECT_EQ(routing_type(workload), "topic");
  workload.pending = 5;
  EXPECT_EQ(check(workload), "");
  workload.exchange_type = "topic";
  EXPECT_NE(check(workload), "");
}

TEST(Describe, SaysWhatIsDone) {
  Workload workload;
  workload.publishers = 2;
  workload.exchange_type = "topic";
  workload.bindings = 5;
  workload.confirm_window = 10;
  EXPECT_EQ(describe(workload),
            "2 publishers, 1 consumer, 1 queue, 1024 B, transient, topic exchange with 5 bindings, "
            "confirms with a window of 10, auto-ack");
  workload.title = "a title";
  EXPECT_EQ(describe(workload), "a title");
}

}  // namespace
}  // namespace harrier::bench
