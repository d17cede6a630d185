// SPDX-License-Identifier: Apache-2.0
//
// Journal figures: how long an entry of 4 KiB, 64 KiB and 1 MiB takes to become durable (append and
// flush), beside the same bytes written to a plain file: one that is written ahead, and one that
// grows. The three take turns, entry by entry, so that the device's moods hit all alike. The
// journal's background work runs on a thread, as in the broker. Not a test.
//
//   journal_bench [--json] [--directory D] [--mib N]      D: on the device in question; N: per size
#include "persistence/journal.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <iomanip>
#include <iostream>
#include <mutex>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "persistence/crc32c.hpp"

namespace {

using namespace harrier::persistence;
using harrier::protocol::ByteView;
using Clock = std::chrono::steady_clock;
namespace fs = std::filesystem;

constexpr std::uint64_t kMebibyte = std::uint64_t{1024} * 1024;
constexpr std::uint64_t kPlainBytes = 64 * kMebibyte;
constexpr std::size_t kEntriesMax = 2000;

struct Options {
  bool json = false;
  fs::path directory = ".";
  std::uint64_t mib = 64;
};

void check(const Status& status) {
  if (!status.ok()) throw std::runtime_error(status.error());
}
void check(bool good, const char* what) {
  if (!good) throw std::runtime_error(what);
}

// A file that is written from its start again when it is full.
class PlainFile {
 public:
  PlainFile(const fs::path& path, bool ahead)
      : fd_(::open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0640)), ahead_(ahead) {
    check(fd_ >= 0, "cannot create a plain file");
    if (!ahead) return;
    const std::vector<std::uint8_t> zeros(kMebibyte);
    for (std::uint64_t at = 0; at < kPlainBytes; at += zeros.size()) put(zeros, at);
    check(::fsync(fd_) == 0, "cannot flush a plain file");
  }
  ~PlainFile() { ::close(fd_); }
  PlainFile(const PlainFile&) = delete;
  PlainFile& operator=(const PlainFile&) = delete;

  void write(const std::vector<std::uint8_t>& bytes) {
    if (ahead_ && at_ + bytes.size() > kPlainBytes) at_ = 0;
    put(bytes, at_);
    at_ += bytes.size();
    check(::fdatasync(fd_) == 0, "cannot flush a plain file");
  }

 private:
  void put(const std::vector<std::uint8_t>& bytes, std::uint64_t at) const {
    const ssize_t written = ::pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(at));
    check(written == static_cast<ssize_t>(bytes.size()), "cannot write a plain file");
  }
  int fd_;
  bool ahead_;
  std::uint64_t at_ = 0;
};

// Calls prepare() whenever it is told that a segment was begun.
class Preparer {
 public:
  explicit Preparer(Journal& journal) : journal_(journal), thread_([this] { run(); }) {}
  ~Preparer() {
    {
      const std::lock_guard lock(mutex_);
      stopped_ = true;
    }
    wake_.notify_one();
    thread_.join();
  }
  Preparer(const Preparer&) = delete;
  Preparer& operator=(const Preparer&) = delete;
  void segment_begun() {
    {
      const std::lock_guard lock(mutex_);
      wanted_ = true;
    }
    wake_.notify_one();
  }

 private:
  void run() {
    std::unique_lock lock(mutex_);
    for (;;) {
      wake_.wait(lock, [this] { return wanted_ || stopped_; });
      if (stopped_) return;
      wanted_ = false;
      lock.unlock();
      if (const Status status = journal_.prepare(); !status.ok()) {
        std::cerr << status.error() << '\n';
      }
      lock.lock();
    }
  }
  Journal& journal_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool wanted_ = false;
  bool stopped_ = false;
  std::thread thread_;
};

struct Samples {
  std::vector<double> microseconds;
  void add(const std::function<void()>& work) {
    const auto start = Clock::now();
    work();
    microseconds.push_back(std::chrono::duration<double, std::micro>(Clock::now() - start).count());
  }
  double at(double share) {
    std::sort(microseconds.begin(), microseconds.end());
    const auto last = static_cast<double>(microseconds.size() - 1);
    return microseconds[static_cast<std::size_t>(share * last)];
  }
  double total_seconds() const {
    double sum = 0;
    for (const double value : microseconds) sum += value;
    return sum / 1e6;
  }
};

class Report {
 public:
  explicit Report(bool json) : json_(json) {}
  ~Report() {
    if (json_) std::cout << "[\n" << lines_.str() << "\n]\n";
  }
  void add(std::string_view what, std::size_t size, double value, std::string_view unit) {
    if (json_) {
      lines_ << (first_ ? "" : ",\n") << "  {\"what\": \"" << what << "\", \"bytes\": " << size
             << ", \"value\": " << value << ", \"unit\": \"" << unit << "\"}";
      first_ = false;
    } else {
      std::cout << what << "  " << size << " bytes: " << std::fixed << std::setprecision(1) << value
                << ' ' << unit << '\n'
                << std::flush;
    }
  }
  void add(const std::string& what, std::size_t size, Samples& samples) {
    add(what + ", p50", size, samples.at(0.5), "us");
    add(what + ", p99", size, samples.at(0.99), "us");
    const auto bytes = static_cast<double>(samples.microseconds.size() * size);
    add(what + ", rate", size, bytes / samples.total_seconds() / 1e6, "MB/s");
  }

 private:
  bool json_;
  bool first_ = true;
  std::ostringstream lines_;
};

void measure(const Options& options, const fs::path& directory, std::size_t size, Report& report) {
  fs::create_directories(directory / "journal");
  PlainFile ahead(directory / "ahead", true);
  PlainFile growing(directory / "growing", false);
  JournalOptions journal_options;
  journal_options.directory = (directory / "journal").string();
  std::unique_ptr<Journal> journal;
  Replay replay;
  check(Journal::open(
      journal_options, 0, [](JournalPosition, ByteView) { return Status(); }, journal, replay));
  check(journal->prepare());

  // The payload fills its pages: the same bytes go to the device in all three ways.
  const std::vector<std::uint8_t> bytes(size, 0x5a);
  const ByteView payload = ByteView(bytes).first(size - kEntryHeaderBytes);
  const std::size_t count =
      std::clamp<std::size_t>(options.mib * kMebibyte / size, 10, kEntriesMax);
  Samples journal_samples;
  Samples ahead_samples;
  Samples growing_samples;
  {
    Preparer preparer(*journal);
    std::uint64_t segments = 0;
    JournalPosition at = 0;
    for (std::size_t i = 0; i < count; ++i) {
      journal_samples.add([&] {
        check(journal->append({&payload, 1}, at));
        check(journal->flush());
      });
      ahead_samples.add([&] { ahead.write(bytes); });
      growing_samples.add([&] { growing.write(bytes); });
      if (journal->stats().segments == segments) continue;
      segments = journal->stats().segments;
      check(journal->release(at));
      preparer.segment_begun();
    }
  }
  report.add("journal, append and flush", size, journal_samples);
  report.add("plain file written ahead, fdatasync", size, ahead_samples);
  report.add("plain file that grows, fdatasync", size, growing_samples);
  journal.reset();
  fs::remove_all(directory);
}

void measure_checksum(Report& report) {
  const std::vector<std::uint8_t> bytes(kMebibyte, 0x5a);
  std::uint32_t crc = 0;
  for (const auto& [name, function] :
       {std::pair{"crc32c", &crc32c}, std::pair{"crc32c by table", &crc32c_by_table}}) {
    Samples samples;
    for (int i = 0; i < 100; ++i) samples.add([&] { crc = function(bytes, crc); });
    report.add(name, bytes.size(), static_cast<double>(bytes.size()) / samples.at(0.5), "MB/s");
  }
  if (crc == 0) std::cerr << "a checksum of zero\n";  // it is used: nothing is left out
}

bool parse(int argc, char** argv, Options& options) {
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    const bool has_value = i + 1 < argc;
    if (argument == "--json") {
      options.json = true;
    } else if (argument == "--directory" && has_value) {
      options.directory = argv[++i];
    } else if (argument == "--mib" && has_value) {
      options.mib = std::strtoull(argv[++i], nullptr, 10);
    } else {
      return false;
    }
  }
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  if (!parse(argc, argv, options)) {
    std::cerr << "usage: journal_bench [--json] [--directory D] [--mib N]\n";
    return 2;
  }
  try {
    Report report(options.json);
    measure_checksum(report);
    for (const std::size_t size : {4U * 1024, 64U * 1024, 1024U * 1024}) {
      measure(options, options.directory / "journal_bench.data", size, report);
    }
  } catch (const std::exception& error) {
    std::cerr << "journal_bench: " << error.what() << '\n';
    return 1;
  }
  return 0;
}
