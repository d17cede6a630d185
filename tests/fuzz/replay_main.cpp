// SPDX-License-Identifier: Apache-2.0
//
// main() of a fuzz target where there is no libFuzzer: runs every corpus file, then a bounded
// number of random mutations of them. The mutations depend on the seed alone, so that a failure is
// repeated by the same command; the input that was running is written to crash-input when the
// target aborts.
//
//   fuzz_x [--mutations N] [--seconds N] [--seed N] [file or folder]...
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <random>
#include <string>
#include <string_view>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

namespace fs = std::filesystem;
using Input = std::vector<std::uint8_t>;

constexpr std::size_t kInputBytesMax = 4096;  // libFuzzer's own default
constexpr std::string_view kCrashFile = "crash-input";

struct Options {
  std::uint64_t mutations = 20'000;
  std::uint64_t seconds = 10;
  std::uint64_t seed = 1;
  std::vector<fs::path> paths;
};

const Input* running = nullptr;  // for the signal handler only

extern "C" void keep_input(int signal_number) {
  // Only what is allowed in a signal handler: open, write, close, raise.
  const int file = ::open(kCrashFile.data(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (file >= 0 && running != nullptr) {
    [[maybe_unused]] const auto written = ::write(file, running->data(), running->size());
    ::close(file);
  }
  std::signal(signal_number, SIG_DFL);
  std::raise(signal_number);
}

void run(const Input& input) {
  running = &input;
  // A copy of exactly the input's size: reading past it is then visible to the address sanitizer.
  const Input exact(input);
  LLVMFuzzerTestOneInput(exact.data(), exact.size());
  running = nullptr;
}

Input read(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error("cannot read " + path.string());
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

std::vector<Input> read_corpus(const std::vector<fs::path>& paths) {
  std::vector<fs::path> files;
  for (const auto& path : paths) {
    if (!fs::is_directory(path)) {
      files.push_back(path);
      continue;
    }
    for (const auto& entry : fs::directory_iterator(path)) {
      if (entry.is_regular_file()) files.push_back(entry.path());
    }
  }
  std::sort(files.begin(), files.end());  // the same order everywhere: the mutations depend on it
  std::vector<Input> corpus;
  corpus.reserve(files.size());
  for (const auto& file : files) corpus.push_back(read(file));
  return corpus;
}

class Mutator {
 public:
  Mutator(std::uint64_t seed, const std::vector<Input>& corpus) : random_(seed), corpus_(corpus) {}

  Input next() {
    Input input = pick();
    const auto steps = 1 + below(6);
    for (std::size_t i = 0; i < steps; ++i) step(input);
    if (input.size() > kInputBytesMax) input.resize(kInputBytesMax);
    return input;
  }

 private:
  std::size_t below(std::size_t bound) { return bound == 0 ? 0 : random_() % bound; }
  std::uint8_t byte() { return static_cast<std::uint8_t>(random_()); }
  const Input& pick() { return corpus_[below(corpus_.size())]; }
  auto at(Input& input, std::size_t offset) {
    return input.begin() + static_cast<std::ptrdiff_t>(offset);
  }

  void step(Input& input) {
    static constexpr std::array<std::uint8_t, 10> kEdges = {0,    1,   0x7f, 0x80, 0xff,
                                                            0xce, 'A', '#',  '*',  '.'};
    const std::size_t offset = below(input.size());
    switch (below(8)) {
      case 0:
        if (!input.empty()) input[offset] = byte();
        break;
      case 1:
        if (!input.empty()) input[offset] ^= static_cast<std::uint8_t>(1U << below(8));
        break;
      case 2:
        if (!input.empty()) input[offset] = kEdges[below(kEdges.size())];
        break;
      case 3:
        input.insert(at(input, offset), kEdges[below(kEdges.size())]);
        break;
      case 4:
        input.resize(offset);
        break;
      case 5:
        erase_some(input, offset);
        break;
      case 6:
        repeat_some(input, offset);
        break;
      default:
        splice(input, offset);
        break;
    }
  }

  void erase_some(Input& input, std::size_t offset) {
    const std::size_t count = below(std::min<std::size_t>(input.size() - offset, 32) + 1);
    input.erase(at(input, offset), at(input, offset + count));
  }

  void repeat_some(Input& input, std::size_t offset) {
    const std::size_t count = below(std::min<std::size_t>(input.size() - offset, 64) + 1);
    const Input piece(at(input, offset), at(input, offset + count));
    input.insert(at(input, offset), piece.begin(), piece.end());
  }

  void splice(Input& input, std::size_t offset) {
    Input other = pick();
    const std::size_t from = below(other.size());
    input.resize(offset);
    input.insert(input.end(), at(other, from), other.end());
  }

  std::mt19937_64 random_;
  const std::vector<Input>& corpus_;
};

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = argv[i];
    const auto number = [&] {
      if (i + 1 == argc) throw std::runtime_error(std::string(word) + " needs a number");
      return static_cast<std::uint64_t>(std::stoull(argv[++i]));
    };
    if (word == "--mutations") {
      options.mutations = number();
    } else if (word == "--seconds") {
      options.seconds = number();
    } else if (word == "--seed") {
      options.seed = number();
    } else {
      options.paths.emplace_back(word);
    }
  }
  return options;
}

int replay(const Options& options) {
  std::vector<Input> corpus = read_corpus(options.paths);
  const std::size_t files = corpus.size();
  for (const Input& input : corpus) run(input);
  run({});
  if (corpus.empty()) corpus.emplace_back();
  Mutator mutator(options.seed, corpus);
  // The deadline only ends the search early on a slow machine; nothing is asserted about time.
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(options.seconds);
  std::uint64_t done = 0;
  while (done < options.mutations && std::chrono::steady_clock::now() < deadline) {
    run(mutator.next());
    ++done;
  }
  std::cout << files << " corpus files and " << done << " mutations, seed " << options.seed
            << ": nothing found\n";
  return EXIT_SUCCESS;
}

}  // namespace

int main(int argc, char** argv) {
  for (const int signal_number : {SIGABRT, SIGSEGV, SIGFPE, SIGILL, SIGBUS}) {
    std::signal(signal_number, keep_input);
  }
  try {
    return replay(parse(argc, argv));
  } catch (const std::exception& error) {
    std::cerr << argv[0] << ": " << error.what() << '\n';
    return EXIT_FAILURE;
  }
}
