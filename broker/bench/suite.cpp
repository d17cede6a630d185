// SPDX-License-Identifier: Apache-2.0
#include "broker/bench/suite.hpp"

#include <algorithm>
#include <array>
#include <cstdio>

#include <nlohmann/json.hpp>

#include "broker/bench/run.hpp"

namespace harrier::bench {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kOwnShare = "bench_cpu_share";  // of the load tool: nothing to compare

std::string percent(double share) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.0f %%", share * 100);
  return text.data();
}

std::vector<std::string> compared_figures(const Workload& workload) {
  std::vector<std::string> names = workload.headline;
  for (const char* name :
       {"broker_cpu_s_per_million_published", "broker_cpu_s_per_million_delivered",
        "broker_cpu_s_per_million_round_trips", kOwnShare}) {
    names.emplace_back(name);
  }
  return names;
}

std::optional<Spread> find(const std::vector<std::pair<std::string, Spread>>& all,
                           const std::string& name) {
  for (const auto& [each, spread] : all) {
    if (each == name) return spread;
  }
  return std::nullopt;
}

std::string cell(const std::optional<Spread>& spread) {
  if (!spread) return "-";
  return format_figure(spread->median) + " (" + percent(spread->relative()) + ")";
}

void note_failure(const Result& result, std::ostream& log) {
  if (!result.ok()) print_summary(result, log);
}

Json json_of(const std::vector<Result>& results) {
  Json figures = Json::object();
  for (const auto& [name, spread] : medians(results)) {
    figures[name] = {{"median", spread.median}, {"min", spread.min}, {"max", spread.max}};
  }
  return {{"figures", figures}, {"runs", Json::parse(to_json(results))}};
}

void print_failures(const std::vector<Result>& results, std::ostream& out) {
  for (const Result& result : results) {
    if (result.ok()) continue;
    out << "- " << result.workload.id << " against " << result.address << ": ";
    if (!result.error.empty()) {
      out << result.error;
    } else {
      out << result.violations.total() << " violations, first: " << result.violations.texts.front();
    }
    out << '\n';
  }
}

}  // namespace

std::vector<std::pair<std::string, Spread>> medians(const std::vector<Result>& results) {
  std::vector<std::pair<std::string, Spread>> out;
  for (const Result& result : results) {
    if (!result.ok()) continue;
    for (const auto& [name, value] : result.figures.all()) {
      if (find(out, name)) continue;
      std::vector<double> values;
      for (const Result& each : results) {
        const auto found = each.ok() ? each.figures.find(name) : std::nullopt;
        if (found) values.push_back(*found);
      }
      out.emplace_back(name, spread_of(values));
    }
  }
  return out;
}

std::vector<CaseOutcome> run_suite(const Suite& suite, std::ostream& log) {
  std::vector<CaseOutcome> outcomes;
  for (const Workload& workload : suite.cases) {
    CaseOutcome outcome{workload, {}, {}};
    Workload theirs = workload;
    if (!suite.against_queue_type.empty()) theirs.queue_type = suite.against_queue_type;
    if (Loop::interrupted()) break;
    for (std::uint32_t run = 1; run <= suite.runs && !Loop::interrupted(); ++run) {
      log << workload.id << ", run " << run << " of " << suite.runs << ": " << describe(workload)
          << '\n';
      outcome.ours.push_back(run_workload(suite.target, workload));
      note_failure(outcome.ours.back(), log);
      if (!suite.against || Loop::interrupted()) continue;
      outcome.theirs.push_back(run_workload(*suite.against, theirs));
      note_failure(outcome.theirs.back(), log);
    }
    outcomes.push_back(std::move(outcome));
  }
  return outcomes;
}

void print_table(const std::vector<CaseOutcome>& outcomes, std::ostream& out) {
  const bool two = std::any_of(outcomes.begin(), outcomes.end(),
                               [](const CaseOutcome& each) { return !each.theirs.empty(); });
  const auto product = [&](bool ours) {
    for (const CaseOutcome& outcome : outcomes) {
      for (const Result& result : ours ? outcome.ours : outcome.theirs) {
        if (!result.product.empty()) return result.product;
      }
    }
    return std::string("-");
  };
  out << "| case | figure | " << product(true)
      << (two ? " | " + product(false) + " | ratio |" : " |") << "\n|---|---|---:|"
      << (two ? "---:|---:|" : "") << '\n';
  for (const CaseOutcome& outcome : outcomes) {
    const auto ours = medians(outcome.ours), theirs = medians(outcome.theirs);
    for (const std::string& name : compared_figures(outcome.workload)) {
      const auto here = find(ours, name), there = find(theirs, name);
      if (!here && !there) continue;
      out << "| " << outcome.workload.id << " | " << name << " | " << cell(here);
      if (two) {
        const bool comparable = here && there && name != kOwnShare;
        out << " | " << cell(there) << " | "
            << (comparable ? format_ratio(here->median, there->median) : "-");
      }
      out << " |\n";
    }
  }
  if (all_ok(outcomes)) return;
  out << "\nRuns that failed, and are in no figure above:\n\n";
  for (const CaseOutcome& outcome : outcomes) {
    print_failures(outcome.ours, out);
    print_failures(outcome.theirs, out);
  }
}

std::string to_json(const std::vector<CaseOutcome>& outcomes) {
  Json all = Json::array();
  for (const CaseOutcome& outcome : outcomes) {
    Json json = {{"case", outcome.workload.id},
                 {"description", describe(outcome.workload)},
                 {"headline", compared_figures(outcome.workload)},
                 {"broker", json_of(outcome.ours)}};
    if (!outcome.theirs.empty()) json["against"] = json_of(outcome.theirs);
    all.push_back(std::move(json));
  }
  return all.dump(2) + "\n";
}

bool all_ok(const std::vector<CaseOutcome>& outcomes) {
  const auto ok = [](const Result& result) { return result.ok(); };
  return std::all_of(outcomes.begin(), outcomes.end(), [&](const CaseOutcome& outcome) {
    return std::all_of(outcome.ours.begin(), outcome.ours.end(), ok) &&
           std::all_of(outcome.theirs.begin(), outcome.theirs.end(), ok);
  });
}

}  // namespace harrier::bench
