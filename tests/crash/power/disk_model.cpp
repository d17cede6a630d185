// SPDX-License-Identifier: Apache-2.0
#include "tests/crash/power/disk_model.hpp"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>

namespace harrier::power {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kFirstBaseObject = std::uint64_t{1} << 62;  // the log counts from 1

bool is_lock(const std::string& path) {
  return fs::path(path).filename().string().find("lock") != std::string::npos;
}

std::string parent_of(const std::string& path) { return fs::path(path).parent_path().string(); }

std::string contents_of(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) throw std::runtime_error("cannot read " + path.string());
  std::ostringstream text;
  text << in.rdbuf();
  return std::move(text).str();
}

}  // namespace

std::vector<LogRecord> read_log(const std::string& file) {
  const std::string log = contents_of(file);
  std::vector<LogRecord> records;
  std::size_t at = 0;
  while (at < log.size()) {
    LogRecord record;
    if (log.size() - at < sizeof record.header) throw std::runtime_error("the log is cut off");
    std::memcpy(&record.header, log.data() + at, sizeof record.header);
    at += sizeof record.header;
    if (log.size() - at < record.header.path_size + record.header.data_size) {
      throw std::runtime_error("the log is cut off");
    }
    record.path = log.substr(at, record.header.path_size);
    at += record.header.path_size;
    record.data = log.substr(at, record.header.data_size);
    at += record.header.data_size;
    records.push_back(std::move(record));
  }
  return records;
}

template <class T>
const T& DiskModel::History<T>::pick(std::mt19937_64& random, std::uint64_t percent_new) const {
  if (later.empty()) return durable;
  if (random() % 100 < percent_new) return later.back().second;
  const std::size_t chosen = random() % (2 * later.size());  // the old one half of the time
  return chosen < later.size() ? later[chosen].second : durable;
}

template <class T>
void DiskModel::History<T>::flush(std::uint64_t before) {
  auto end = later.begin();
  while (end != later.end() && end->first < before) ++end;
  if (end == later.begin()) return;
  durable = std::prev(end)->second;
  later.erase(later.begin(), end);
}

DiskModel::DiskModel(std::string root, const std::string& base) : root_(std::move(root)) {
  if (base.empty()) return;
  std::uint64_t object = kFirstBaseObject;
  for (const auto& entry : fs::recursive_directory_iterator(base)) {
    const std::string name = fs::relative(entry.path(), base).string();
    names_[name] = entry.is_directory() ? 0 : object;
    if (!entry.is_directory()) load(files_[object++], contents_of(entry.path()));
  }
}

std::string DiskModel::relative(const std::string& path) const {
  if (path == root_) return "";
  if (!path.starts_with(root_ + "/")) throw std::runtime_error("not below the root: " + path);
  return path.substr(root_.size() + 1);
}

void DiskModel::load(File& file, const std::string& bytes) {
  file.size.durable = bytes.size();
  for (std::size_t at = 0; at < bytes.size(); at += kPageBytes) {
    Page page{};
    std::memcpy(page.data(), bytes.data() + at, std::min(kPageBytes, bytes.size() - at));
    if (page == Page{}) continue;
    file.pages[at / kPageBytes].durable = std::make_shared<const Page>(page);
  }
}

// From now on the log calls a file of the base by this number.
void DiskModel::name_existing(std::uint64_t object, const std::string& path) {
  const auto at = names_.find(path);
  if (at == names_.end()) throw std::runtime_error("where does this file come from: " + path);
  auto file = files_.extract(at->second);
  file.key() = object;
  files_.insert(std::move(file));
  at->second = object;
}

void DiskModel::play(const LogRecord& record) {
  const RecordHeader& header = record.header;
  ++time_;
  switch (header.op) {
    case Op::Create:
      pending_.push_back({time_, "", relative(record.path), header.object});
      files_[header.object];
      break;
    case Op::Existing:
      name_existing(header.object, relative(record.path));
      break;
    case Op::Write:
      write(record);
      break;
    case Op::Truncate:
      resize(files_[header.object], header.size);
      break;
    case Op::Rename:
      pending_.push_back({time_, relative(record.path), relative(record.data), header.object});
      break;
    case Op::Unlink:
      pending_.push_back({time_, relative(record.path), "", header.object});
      break;
    case Op::MakeDirectory:
      pending_.push_back({time_, "", relative(record.path), 0});
      break;
    case Op::FlushBegin:
      flushes_[header.offset] = {header.object, record.path, time_};
      break;
    case Op::FlushEnd:
      end_flush(flushes_.at(header.offset));
      flushes_.erase(header.offset);
      break;
    case Op::MapFlush:
      throw std::runtime_error("msync: writes through a map cannot be recorded");
    case Op::Mark:
      break;
    default:
      throw std::runtime_error("the log has an unknown record");
  }
}

void DiskModel::set_page(File& file, std::uint64_t number, PagePtr page) {
  History<PagePtr>& history = file.pages[number];
  if (page == history.now()) return;  // zeros over zeros
  history.later.emplace_back(time_, std::move(page));
  file.dirty.insert(number);
}

void DiskModel::write(const LogRecord& record) {
  const RecordHeader& header = record.header;
  File& file = files_[header.object];
  const std::uint64_t end = header.offset + header.size;
  const bool zeros = (header.flags & kZeros) != 0;
  for (std::uint64_t at = header.offset; at < end;) {
    const std::uint64_t number = at / kPageBytes;
    const std::size_t in_page = at % kPageBytes;
    const std::size_t size = std::min<std::uint64_t>(kPageBytes - in_page, end - at);
    const PagePtr old = file.pages[number].now();
    Page page = old ? *old : Page{};
    if (zeros) {
      std::memset(page.data() + in_page, 0, size);
    } else {
      std::memcpy(page.data() + in_page, record.data.data() + (at - header.offset), size);
    }
    set_page(file, number, page == Page{} ? nullptr : std::make_shared<const Page>(page));
    if ((header.flags & kDurable) != 0) {
      file.pages[number].flush(time_ + 1);
      file.dirty.erase(number);
    }
    at += size;
  }
  if (end > file.size.now()) file.size.later.emplace_back(time_, end);
  if ((header.flags & kDurable) != 0) file.size.flush(time_ + 1);
}

void DiskModel::resize(File& file, std::uint64_t size) {
  const std::uint64_t first_gone = (size + kPageBytes - 1) / kPageBytes;
  for (auto at = file.pages.lower_bound(first_gone); at != file.pages.end(); ++at) {
    set_page(file, at->first, nullptr);
  }
  if (size % kPageBytes != 0) {
    const PagePtr old = file.pages[size / kPageBytes].now();
    if (old) {
      Page page = *old;
      std::memset(page.data() + size % kPageBytes, 0, kPageBytes - size % kPageBytes);
      set_page(file, size / kPageBytes, std::make_shared<const Page>(page));
    }
  }
  if (size != file.size.now()) file.size.later.emplace_back(time_, size);
}

void DiskModel::flush_file(File& file, std::uint64_t before) {
  for (auto at = file.dirty.begin(); at != file.dirty.end();) {
    History<PagePtr>& page = file.pages[*at];
    page.flush(before);
    at = page.later.empty() ? file.dirty.erase(at) : std::next(at);
  }
  file.size.flush(before);
}

void DiskModel::flush_names(const std::string* directory, std::uint64_t before) {
  std::vector<NameChange> left;
  for (NameChange& change : pending_) {
    const std::string& name = change.added.empty() ? change.removed : change.added;
    if (change.time < before && (directory == nullptr || parent_of(name) == *directory)) {
      apply(names_, change);
    } else {
      left.push_back(std::move(change));
    }
  }
  pending_ = std::move(left);
}

void DiskModel::end_flush(const Flush& flush) {
  if (flush.object == kEverything) {
    for (auto& [object, file] : files_) flush_file(file, flush.begin);
    flush_names(nullptr, flush.begin);
  } else if (flush.object != 0) {
    flush_file(files_[flush.object], flush.begin);
  } else {
    const std::string directory = relative(flush.directory);
    flush_names(&directory, flush.begin);
  }
}

void DiskModel::apply(Names& names, const NameChange& change) {
  if (!change.removed.empty()) {
    const auto at = names.find(change.removed);
    if (at != names.end() && at->second == change.object) names.erase(at);
  }
  if (!change.added.empty()) names[change.added] = change.object;
}

DiskModel::Names DiskModel::pick_names(std::mt19937_64& random) const {
  Names names = names_;
  const bool prefix = random() % 2 == 0;
  const std::size_t count = random() % (pending_.size() + 1);
  for (std::size_t i = 0; i < pending_.size(); ++i) {
    if (prefix ? i < count : random() % 2 == 0) apply(names, pending_[i]);
  }
  return names;
}

void DiskModel::write_file(const std::string& path, std::uint64_t size,
                           const std::map<std::uint64_t, PagePtr>& pages) {
  fs::create_directories(fs::path(path).parent_path());
  std::ofstream out(path, std::ios::binary);
  for (const auto& [number, page] : pages) {
    const std::uint64_t at = number * kPageBytes;
    if (!page || at >= size) continue;
    out.seekp(static_cast<std::streamoff>(at));
    out.write(page->data(),
              static_cast<std::streamsize>(std::min<std::uint64_t>(kPageBytes, size - at)));
  }
  out.close();
  if (!out) throw std::runtime_error("cannot write " + path);
  fs::resize_file(path, size);
}

void DiskModel::image(const std::string& target, std::mt19937_64& random) const {
  constexpr std::array<std::uint64_t, 5> kPercentsNew = {0, 10, 50, 90, 100};
  for (const auto& [name, object] : pick_names(random)) {
    const std::string path = target + "/" + name;
    if (object == 0) {
      fs::create_directories(path);
      continue;
    }
    const File& file = files_.at(object);
    const std::uint64_t percent = kPercentsNew[random() % kPercentsNew.size()];
    std::map<std::uint64_t, PagePtr> pages;
    for (const auto& [number, history] : file.pages) pages[number] = history.pick(random, percent);
    write_file(path, file.size.pick(random, percent), pages);
  }
}

std::string DiskModel::differences(const std::string& directory) const {
  Names names = names_;
  for (const NameChange& change : pending_) apply(names, change);
  std::string text;
  for (const auto& entry : fs::recursive_directory_iterator(directory)) {
    const std::string name = fs::relative(entry.path(), directory).string();
    if (names.find(name) == names.end() && !is_lock(name)) text += name + " is not in the log\n";
  }
  for (const auto& [name, object] : names) {
    if (object == 0 || is_lock(name)) continue;
    const fs::path path = fs::path(directory) / name;
    if (!fs::exists(path)) {
      text += name + " is in the log only\n";
      continue;
    }
    const File& file = files_.at(object);
    const std::string bytes = contents_of(path);
    if (bytes.size() != file.size.now()) {
      text += name + " has another size than in the log\n";
      continue;
    }
    std::string expected(bytes.size(), '\0');
    for (const auto& [number, history] : file.pages) {
      const std::uint64_t at = number * kPageBytes;
      if (!history.now() || at >= expected.size()) continue;
      std::memcpy(expected.data() + at, history.now()->data(),
                  std::min<std::uint64_t>(kPageBytes, expected.size() - at));
    }
    if (bytes != expected) text += name + " has another content than in the log\n";
  }
  return text;
}

}  // namespace harrier::power
