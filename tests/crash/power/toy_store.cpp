// SPDX-License-Identifier: Apache-2.0
#include "tests/crash/power/toy_store.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

namespace harrier::power {
namespace {

using namespace harrier::persistence;

constexpr std::size_t kHeaderBytes = 12;

Status failure(const char* what) {
  return Status::failed(std::string(what) + ": " + std::strerror(errno));
}

std::uint64_t checksum(protocol::ByteView bytes) {
  std::uint64_t sum = 0xcbf2'9ce4'8422'2325u;  // FNV-1a; never that of a page of zeros
  for (const std::uint8_t byte : bytes) sum = (sum ^ byte) * 0x100'0000'01b3u;
  return sum;
}

Bytes read_all(int file) {
  Bytes bytes;
  std::array<std::uint8_t, 65536> chunk{};
  for (;;) {
    const ssize_t size = ::read(file, chunk.data(), chunk.size());
    if (size <= 0) return bytes;
    bytes.insert(bytes.end(), chunk.begin(), chunk.begin() + size);
  }
}

}  // namespace

ToyStore::~ToyStore() {
  if (file_ >= 0) ::close(file_);
}

Status ToyStore::recover(Recovery& out) {
  if (file_ < 0) {
    if (Status status = open_and_replay(); !status.ok()) return status;
  }
  return memory_.recover(out);
}

Status ToyStore::open_and_replay() {
  const std::string path = directory_ + "/toy.journal";
  file_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (file_ < 0) return failure("open");
  if (flaw_ != Flaw::NoDirectoryFlush) {
    const int directory = ::open(directory_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const bool flushed = directory >= 0 && ::fsync(directory) == 0;
    if (directory >= 0) ::close(directory);
    if (!flushed) return failure("fsync of the directory");
  }
  const Bytes bytes = read_all(file_);
  std::size_t at = 0;
  for (;;) {
    protocol::ByteReader reader(protocol::ByteView(bytes).subspan(at));
    const std::uint32_t size = reader.u32();
    const std::uint64_t sum = reader.u64();
    const protocol::ByteView body = reader.raw(size);
    if (!reader.ok() || size == 0) break;
    if (flaw_ != Flaw::NoChecksum && checksum(body) != sum) break;
    std::optional<WriteBatch> batch = decode(body);
    if (!batch) break;
    memory_.commit(std::move(*batch), [](const Status&) {});
    at += kHeaderBytes + size;
  }
  // Nothing that comes later may stand behind a torn record.
  if (::ftruncate(file_, static_cast<off_t>(at)) != 0 || ::fdatasync(file_) != 0 ||
      ::lseek(file_, static_cast<off_t>(at), SEEK_SET) < 0) {
    return failure("cutting off the torn end");
  }
  return {};
}

Status ToyStore::append(const WriteBatch& batch) {
  const Bytes body = encode(batch);
  Bytes record(kHeaderBytes + body.size());
  std::uint8_t* out = protocol::put_u32(record.data(), static_cast<std::uint32_t>(body.size()));
  protocol::put_raw(protocol::put_u64(out, checksum(body)), body);
  if (::write(file_, record.data(), record.size()) != static_cast<ssize_t>(record.size())) {
    return failure("write");
  }
  if (flaw_ != Flaw::NoFlush && ::fdatasync(file_) != 0) return failure("fdatasync");
  return {};
}

void ToyStore::commit(WriteBatch batch, OnDurable done) {
  std::vector<OnDurable> dones;
  Status status;
  {
    const std::lock_guard lock(mutex_);
    waiting_dones_.push_back(std::move(done));
    const std::size_t parts = batch.joined().empty() ? 1 : batch.joined().front().parts;
    for (Record& record : std::move(batch).take_records()) waiting_.add(std::move(record));
    if (waiting_dones_.size() < parts) return;
    WriteBatch whole = std::exchange(waiting_, WriteBatch());
    dones.swap(waiting_dones_);
    status = append(whole);
    if (status.ok()) memory_.commit(std::move(whole), [](const Status&) {});
  }
  for (const OnDurable& each : dones) {
    if (each) each(status);
  }
}

void ToyStore::fetch(QueueId queue, Seq from, std::size_t bytes_max, OnFetched done) {
  memory_.fetch(queue, from, bytes_max, std::move(done));
}

void ToyStore::page_out(QueueId queue, std::vector<StoredMessage> messages, OnDurable done) {
  memory_.page_out(queue, std::move(messages), std::move(done));
}

void ToyStore::drop_paged(QueueId queue, Seq from, Seq up_to) {
  memory_.drop_paged(queue, from, up_to);
}

}  // namespace harrier::power
