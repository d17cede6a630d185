// SPDX-License-Identifier: Apache-2.0
#include "broker/bench/result.hpp"

#include <sstream>

#include <gtest/gtest.h>

#include "broker/bench/suite.hpp"

namespace harrier::bench {
namespace {

Result result_with(double rate) {
  Result result;
  result.workload = *find_preset("a16");
  result.product = "Broker 1";
  result.figures.set("published_per_s", rate);
  return result;
}

TEST(Result, IsGoodWithoutErrorAndViolation) {
  Result result = result_with(1);
  EXPECT_TRUE(result.ok());
  result.violations.lost = 1;
  EXPECT_FALSE(result.ok());
  result.violations.lost = 0;
  result.error = "closed";
  EXPECT_FALSE(result.ok());
}

TEST(Result, SummaryTellsTheWorst) {
  Result result = result_with(1234567);
  std::ostringstream good;
  print_summary(result, good);
  EXPECT_NE(good.str().find("1,234,567"), std::string::npos);
  EXPECT_NE(good.str().find("verified"), std::string::npos);
  result.violations.note(result.violations.lost, 3, "the third text");
  result.error = "hung up";
  std::ostringstream bad;
  print_summary(result, bad);
  EXPECT_EQ(bad.str().find("verified"), std::string::npos);
  for (const char* part : {"3 lost", "the third text", "FAILED: hung up"}) {
    EXPECT_NE(bad.str().find(part), std::string::npos) << part;
  }
}

TEST(Result, JsonSurvivesAnyBytes) {
  Result result = result_with(5);
  result.error = "\xFF odd \"text\"";
  const std::string json = to_json(result);
  EXPECT_NE(json.find("\"published_per_s\": 5.0"), std::string::npos) << json;
  EXPECT_NE(json.find("\"ok\": false"), std::string::npos);
}

TEST(Figures, LatencyHasItsPercentiles) {
  Histogram histogram;
  for (std::uint64_t us = 1; us <= 100; ++us) histogram.record(us * 1000);
  Figures figures;
  add_latency("confirm", histogram, figures);
  EXPECT_NEAR(figures.find("confirm_p50_us").value_or(0), 50, 0.3);
  EXPECT_NEAR(figures.find("confirm_p99.99_us").value_or(0), 100, 0.5);
  EXPECT_EQ(figures.find("confirm_count"), 100.0);
  EXPECT_EQ(figures.find("confirm"), std::nullopt);
  Figures none;
  add_latency("confirm", Histogram(), none);
  EXPECT_TRUE(none.all().empty());
}

TEST(Figures, KnowWhichWayIsBetter) {
  for (const char* name : {"confirm_p99_us", "bytes_per_queue", "backlog_rss_bytes",
                           "broker_cpu_s_per_million_published"}) {
    EXPECT_TRUE(lower_is_better(name)) << name;
  }
  for (const char* name : {"published_per_s", "round_trips_per_s", "delivered"}) {
    EXPECT_FALSE(lower_is_better(name)) << name;
  }
}

TEST(Suite, MediansAreOfTheRunsThatWentWell) {
  std::vector<Result> results = {result_with(10), result_with(30), result_with(999),
                                 result_with(20)};
  results[2].violations.duplicates = 1;
  const auto all = medians(results);
  ASSERT_EQ(all.size(), 1u);
  EXPECT_EQ(all[0].first, "published_per_s");
  EXPECT_EQ(all[0].second, (Spread{10, 20, 30}));
}

TEST(Suite, TableComparesTheHeadlinesAndNamesFailures) {
  std::vector<CaseOutcome> outcomes(1);
  outcomes[0].workload = *find_preset("a16");
  outcomes[0].ours = {result_with(3000)};
  outcomes[0].theirs = {result_with(1000)};
  std::ostringstream good;
  print_table(outcomes, good);
  EXPECT_NE(good.str().find("| a16 | published_per_s | 3,000 (0 %) | 1,000 (0 %) | x3.00 |"),
            std::string::npos)
      << good.str();
  EXPECT_TRUE(all_ok(outcomes));
  outcomes[0].theirs.push_back(result_with(1));
  outcomes[0].theirs.back().error = "closed the channel";
  EXPECT_FALSE(all_ok(outcomes));
  std::ostringstream bad;
  print_table(outcomes, bad);
  EXPECT_NE(bad.str().find("closed the channel"), std::string::npos);
  EXPECT_NE(bad.str().find("x3.00"), std::string::npos);
}

}  // namespace
}  // namespace harrier::bench
