// SPDX-License-Identifier: Apache-2.0
//
// power_test --store NAME [--seed S] [--images N] [--steps N] [--chains N]
//            [--expect-failure 1]
//
// Runs a workload over a store in a process that is recorded below its files, builds images of what
// the disk may hold if the power fails at some moment, and opens each with the store: it must hold
// what a prefix of the batches made, and that has all the confirmed ones in it. Then some images
// are driven on, so that the power fails again in and after a recovery. Exit code 1: an image was
// not as it must be (it is kept). 2: the test could not run.
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <optional>
#include <random>
#include <set>

#include "tests/contract/store_model.hpp"
#include "tests/crash/power/disk_model.hpp"
#include "tests/crash/power/make_store.hpp"
#include "tests/crash/power/workload.hpp"

namespace {

using namespace harrier::power;
namespace fs = std::filesystem;
namespace persistence = harrier::persistence;

constexpr std::size_t kOpening = 60;    // records in which a store is still being opened
constexpr unsigned kOpenTimeoutS = 60;  // for one image

struct Options {
  std::string store;
  std::uint64_t seed = 1;
  std::size_t images = 300;
  std::size_t steps = 300;
  std::size_t chains = 6;
  bool expect_failure = false;  // nothing is kept then
};

struct Failure : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Runs `work` in a child; what it returned, or a Failure with what it said.
template <class Work>
std::string in_child(Work work) {
  std::array<int, 2> ends{};
  if (::pipe(ends.data()) != 0) throw std::runtime_error("pipe");
  const pid_t pid = ::fork();
  if (pid < 0) throw std::runtime_error("fork");
  if (pid == 0) {
    ::close(ends[0]);
    ::alarm(kOpenTimeoutS);
    int code = 0;
    std::string text;
    try {
      text = work();
    } catch (const std::exception& error) {
      code = 1;
      text = error.what();
    }
    for (std::string_view rest = text; !rest.empty();) {
      const ssize_t size = ::write(ends[1], rest.data(), rest.size());
      if (size <= 0) break;
      rest.remove_prefix(static_cast<std::size_t>(size));
    }
    ::_exit(code);
  }
  ::close(ends[1]);
  std::string text;
  std::array<char, 4096> chunk{};
  for (ssize_t size = 0; (size = ::read(ends[0], chunk.data(), chunk.size())) > 0;) {
    text.append(chunk.data(), static_cast<std::size_t>(size));
  }
  ::close(ends[0]);
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFSIGNALED(status)) {
    throw Failure("the process died by signal " + std::to_string(WTERMSIG(status)) + ": " + text);
  }
  if (WEXITSTATUS(status) != 0) throw Failure(text);
  return text;
}

// The recorded process: this program again, with the recorder before the C library.
void run_recorded(const Drive& drive, const std::string& log) {
  in_child([&]() -> std::string {
    ::setenv("LD_PRELOAD", HARRIER_POWER_RECORDER, 1);
    ::setenv(kDirectoryVariable, drive.directory.c_str(), 1);
    ::setenv(kLogVariable, log.c_str(), 1);
    const std::array<std::string, 7> words = {
        "power_test",
        "--drive",
        drive.store,
        drive.directory,
        std::to_string(drive.seed),
        std::to_string(drive.first) + ":" + std::to_string(drive.end),
        std::to_string(drive.lives)};
    std::array<char*, words.size() + 1> arguments{};
    std::transform(words.begin(), words.end(), arguments.begin(),
                   [](const std::string& word) { return const_cast<char*>(word.c_str()); });
    ::execv("/proc/self/exe", arguments.data());
    throw std::runtime_error("execv");
  });
}

std::size_t number_of(std::string_view text) {
  std::size_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) {
    throw std::invalid_argument("not a number: " + std::string(text));
  }
  return value;
}

int drive_main(char** argv) {
  const std::string_view range = argv[5];
  const std::size_t colon = range.find(':');
  try {
    drive({argv[2], argv[3], number_of(argv[4]), number_of(range.substr(0, colon)),
           number_of(range.substr(colon + 1)), number_of(argv[6])});
  } catch (const std::exception& error) {
    std::cerr << "the recorded process: " << error.what() << "\n";
    return 1;
  }
  return 0;
}

class PowerTest {
 public:
  PowerTest(Options options, fs::path folder)
      : options_(std::move(options)),
        folder_(std::move(folder)),
        random_(options_.seed),
        prefixes_(make_steps(options_.seed, options_.steps)) {}

  void run() {
    const std::size_t first_part = options_.chains == 0 ? options_.steps : options_.steps * 3 / 4;
    fs::create_directory(folder_ / "disk");
    record_and_check({options_.store, disk(), options_.seed, 0, first_part, 3}, "",
                     options_.images);
    for (std::size_t chain = 0; chain < options_.chains; ++chain) {
      if (candidates_.empty()) throw std::runtime_error("no image to go on with");
      const auto [path, prefix] = candidates_[random_() % candidates_.size()];
      fs::remove_all(folder_ / "disk");
      fs::remove_all(folder_ / "base");
      fs::copy(path, folder_ / "disk", fs::copy_options::recursive);
      fs::copy(path, folder_ / "base", fs::copy_options::recursive);
      const std::size_t end = std::min(options_.steps, prefix + 20);
      record_and_check({options_.store, disk(), options_.seed, prefix, end, 1},
                       (folder_ / "base").string(),
                       std::max<std::size_t>(options_.images / 10, 20));
    }
  }

  std::string summary() const {
    return std::to_string(images_) + " images, " + std::to_string(kept_more_) +
           " of them with batches that were not confirmed, " +
           std::to_string(prefixes_seen_.size()) + " different states, " +
           std::to_string(options_.chains) + " driven on";
  }

 private:
  std::string disk() const { return (folder_ / "disk").string(); }

  void record_and_check(const Drive& drive, const std::string& base, std::size_t images) {
    const std::string log_file = (folder_ / "log").string();
    fs::remove(log_file);
    run_recorded(drive, log_file);
    const std::vector<LogRecord> log = read_log(log_file);
    const std::vector<std::size_t> cuts = choose_cuts(log, images);
    DiskModel disk_model(drive.directory, base);
    std::size_t confirmed = drive.first;
    std::size_t played = 0;
    for (const std::size_t cut : cuts) {
      for (; played < cut; ++played) play(disk_model, log[played], confirmed);
      check_image(disk_model, drive.first, confirmed, cut);
    }
    for (; played < log.size(); ++played) play(disk_model, log[played], confirmed);
    if (const std::string text = disk_model.differences(drive.directory); !text.empty()) {
      throw std::runtime_error("the recorder has missed something:\n" + text);
    }
    if (confirmed != drive.end) throw std::runtime_error("not every step was confirmed");
  }

  static void play(DiskModel& model, const LogRecord& record, std::size_t& confirmed) {
    model.play(record);
    if (record.header.op == Op::Mark) confirmed = record.header.size;
  }

  // Anywhere; while the store is made or opened; and behind marks, where one that confirms too
  // early is caught.
  std::vector<std::size_t> choose_cuts(const std::vector<LogRecord>& log, std::size_t count) {
    std::vector<std::size_t> marks;
    for (std::size_t i = 0; i < log.size(); ++i) {
      if (log[i].header.op == Op::Mark) marks.push_back(i + 1);
    }
    std::vector<std::size_t> cuts;
    for (std::size_t i = 0; i < count; ++i) {
      const std::uint64_t kind = random_() % 6;
      if (kind < 2 && !marks.empty()) {
        cuts.push_back(marks[random_() % marks.size()]);
      } else {
        const std::size_t end = kind == 2 ? std::min(kOpening, log.size()) : log.size();
        cuts.push_back(random_() % (end + 1));
      }
    }
    std::sort(cuts.begin(), cuts.end());
    return cuts;
  }

  void check_image(const DiskModel& model, std::size_t first, std::size_t confirmed,
                   std::size_t cut) {
    const std::uint64_t image_seed = random_();
    const fs::path opened = write_image(model, "opened", image_seed);
    long prefix = -1;
    try {
      prefix = open_and_find(opened.string());
      if (prefix < 0) throw Failure("holds what no prefix of the batches makes");
      if (prefix < static_cast<long>(confirmed)) {
        throw Failure("holds the first " + std::to_string(prefix) + " steps, " +
                      std::to_string(confirmed) + " were confirmed");
      }
    } catch (const Failure& failure) {
      write_image(model, "failed", image_seed);  // as it was before it was opened
      throw Failure("image " + std::to_string(images_) + " (cut at record " + std::to_string(cut) +
                    ", " + std::to_string(confirmed) + " steps confirmed, begun at " +
                    std::to_string(first) + "): " + failure.what());
    }
    ++images_;
    if (prefix > static_cast<long>(confirmed)) ++kept_more_;
    prefixes_seen_.insert(prefix);
    keep(model, image_seed, static_cast<std::size_t>(prefix));
  }

  // The same again for the same seed: cheaper than a copy, the files are mostly holes.
  fs::path write_image(const DiskModel& model, const std::string& name, std::uint64_t seed) const {
    const fs::path path = folder_ / name;
    fs::remove_all(path);
    fs::create_directory(path);
    std::mt19937_64 random(seed);
    model.image(path.string(), random);
    return path;
  }

  // In a child, because an image that makes the store crash must not take the test along.
  long open_and_find(const std::string& directory) {
    const std::string found = in_child([&] {
      const auto store = make_store(options_.store, directory);
      const std::string text =
          to_text(known_for_certain(harrier::store_tests::contents_of(*store, 1 << 16, 1 << 16)));
      const long prefix = prefixes_.find(text);
      if (prefix < 0)
        throw std::runtime_error("it holds what no prefix of the batches makes:\n" + text);
      return std::to_string(prefix);
    });
    return static_cast<long>(number_of(found));
  }

  // A few images are kept to be driven on.
  void keep(const DiskModel& model, std::uint64_t image_seed, std::size_t prefix) {
    constexpr std::size_t kKept = 8;
    if (prefix + 1 >= options_.steps || options_.chains == 0) return;
    std::size_t slot = candidates_.size();
    if (slot == kKept) {
      if (random_() % 10 != 0) return;
      slot = random_() % kKept;
    } else {
      candidates_.emplace_back();
    }
    const std::string name = "kept-" + std::to_string(slot);
    candidates_[slot] = {write_image(model, name, image_seed), prefix};
  }

  Options options_;
  fs::path folder_;
  std::mt19937_64 random_;
  Prefixes prefixes_;
  std::size_t images_ = 0;
  std::size_t kept_more_ = 0;
  std::set<long> prefixes_seen_;
  std::vector<std::pair<fs::path, std::size_t>> candidates_;
};

// A store that is wrong on purpose must be found out.
int report(bool failed, const Options& options) { return failed == options.expect_failure ? 0 : 1; }

Options read_options(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; i += 2) {
    const std::string_view name = argv[i];
    if (i + 1 >= argc) throw std::invalid_argument(std::string(name) + " wants a value");
    if (name == "--store") {
      options.store = argv[i + 1];
    } else if (name == "--seed") {
      options.seed = number_of(argv[i + 1]);
    } else if (name == "--images") {
      options.images = number_of(argv[i + 1]);
    } else if (name == "--steps") {
      options.steps = number_of(argv[i + 1]);
    } else if (name == "--chains") {
      options.chains = number_of(argv[i + 1]);
    } else if (name == "--expect-failure") {
      options.expect_failure = number_of(argv[i + 1]) != 0;
    } else {
      throw std::invalid_argument("unknown option " + std::string(name));
    }
  }
  if (options.store.empty()) throw std::invalid_argument("--store NAME is missing");
  return options;
}

int run(const Options& options) {
  std::string folder = (fs::temp_directory_path() / "harrier-power-XXXXXX").string();
  if (::mkdtemp(folder.data()) == nullptr) throw std::runtime_error("no temporary folder");
  folder = fs::canonical(folder).string();
  PowerTest test(options, folder);
  try {
    test.run();
  } catch (const Failure& failure) {
    std::cout << "FAILED: " << failure.what() << "\n  seed " << options.seed << "; kept in "
              << folder << "\n  so far: " << test.summary() << "\n";
    if (options.expect_failure) fs::remove_all(folder);
    return report(true, options);
  } catch (...) {
    fs::remove_all(folder);
    throw;
  }
  std::cout << "every image was in order: " << test.summary() << "\n";
  fs::remove_all(folder);
  return report(false, options);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    if (argc == 7 && std::string_view(argv[1]) == "--drive") return drive_main(argv);
    return run(read_options(argc, argv));
  } catch (const std::exception& error) {
    std::cerr << "power_test: " << error.what() << "\n";
    return 2;
  }
}
