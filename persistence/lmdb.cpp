// SPDX-License-Identifier: Apache-2.0
#include "persistence/lmdb.hpp"

#include <fcntl.h>
#include <lmdb.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <type_traits>

#include "protocol/check.hpp"

namespace harrier::persistence::lmdb {
namespace {

static_assert(std::is_same_v<Database, MDB_dbi>);

constexpr mdb_mode_t kFileMode = 0640;

MDB_val to_val(ByteView bytes) {
  // LMDB takes keys as non-const and does not write to them.
  return {bytes.size(), const_cast<std::uint8_t*>(bytes.data())};
}
ByteView from_val(const MDB_val& val) {
  return {static_cast<const std::uint8_t*>(val.mv_data), val.mv_size};
}

// LMDB makes its table of readers as a file with holes and writes to it through memory: on a disk
// that is full the first touch would be a SIGBUS. So its blocks are taken before, or open() fails.
Code reserve_lock_file(const std::string& path, unsigned readers_max) {
  constexpr std::uint64_t kSlotBytes = 64;
  constexpr std::uint64_t kHeadSlots = 4;  // its head has two today
  constexpr std::uint64_t kBlockBytes = 4'096;
  const std::uint64_t slots = std::uint64_t{readers_max} + kHeadSlots;
  const std::uint64_t bytes = (slots * kSlotBytes + kBlockBytes - 1) / kBlockBytes * kBlockBytes;
  struct ::stat found {};
  if (::stat(path.c_str(), &found) == 0) {
    const std::uint64_t taken = static_cast<std::uint64_t>(found.st_blocks) * 512;
    if (taken >= bytes) return {};  // perhaps in use: closing it would end this process's locks
  }
  const int file = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, kFileMode);
  if (file < 0) return Code(errno);
  const int code = ::posix_fallocate(file, 0, static_cast<::off_t>(bytes));
  ::close(file);  // nothing was written
  return Code(code);
}

// LMDB makes EIO of a write that the end of the disk cut short, which leaves next to nothing free.
// To take another EIO for that does no harm: nothing of the transaction counts, and the next
// attempt writes all of it again.
bool is_without_room(MDB_env* environment) {
  constexpr std::uint64_t kRoomBytesMin = std::uint64_t{1} << 20;  // more than it writes at once
  mdb_filehandle_t file = -1;
  struct ::statvfs disk {};
  if (mdb_env_get_fd(environment, &file) != 0 || ::fstatvfs(file, &disk) != 0) return false;
  return std::uint64_t{disk.f_bavail} * disk.f_frsize < kRoomBytesMin;
}

}  // namespace

bool Code::not_found() const { return value_ == MDB_NOTFOUND; }
bool Code::exists() const { return value_ == MDB_KEYEXIST; }
bool Code::full() const { return value_ == MDB_MAP_FULL || value_ == ENOSPC || value_ == EDQUOT; }
bool Code::out_of_memory() const { return value_ == ENOMEM; }
bool Code::not_an_environment() const {
  return value_ == MDB_INVALID || value_ == MDB_VERSION_MISMATCH;
}

Status Code::status(std::string_view what) const {
  if (ok()) return {};
  std::string text = std::string(what) + ": " + mdb_strerror(value_);
  return full() ? Status::full(std::move(text)) : Status::failed(std::move(text));
}

// --- Environment ---

Code Environment::open(const Options& options, std::unique_ptr<Environment>& out) {
  if (options.lock) {
    const Code reserved = reserve_lock_file(options.path + "-lock", options.readers_max);
    if (!reserved.ok()) return reserved;
  }
  MDB_env* raw = nullptr;
  if (const int code = mdb_env_create(&raw)) return Code(code);
  std::unique_ptr<Environment> environment(new Environment(raw));
  if (const int code = mdb_env_set_mapsize(raw, options.map_bytes)) return Code(code);
  if (const int code = mdb_env_set_maxdbs(raw, options.databases_max)) return Code(code);
  if (const int code = mdb_env_set_maxreaders(raw, options.readers_max)) return Code(code);
  // NOTLS: reader slots belong to transactions, which may move between threads. Nothing between a
  // full flush and none, and never WRITEMAP: there a full disk is a SIGBUS.
  const unsigned flags = MDB_NOSUBDIR | MDB_NOTLS | (options.flush ? 0U : MDB_NOSYNC) |
                         (options.write ? 0U : MDB_RDONLY) | (options.lock ? 0U : MDB_NOLOCK);
  if (const int code = mdb_env_open(raw, options.path.c_str(), flags, kFileMode)) return Code(code);
  out = std::move(environment);
  return {};
}

Environment::~Environment() { mdb_env_close(environment_); }

Environment::Info Environment::info() const {
  MDB_envinfo info{};
  MDB_stat stat{};
  HARRIER_CHECK(mdb_env_info(environment_, &info) == 0);
  HARRIER_CHECK(mdb_env_stat(environment_, &stat) == 0);
  return {info.me_mapsize, stat.ms_psize, info.me_last_pgno + 1, info.me_numreaders};
}

int Environment::file() const {
  mdb_filehandle_t file = -1;
  HARRIER_CHECK(mdb_env_get_fd(environment_, &file) == 0);
  return file;
}

void Environment::forget_dead_readers() {
  // All that can go wrong is that a lock cannot be had; the next call tries again.
  static_cast<void>(mdb_reader_check(environment_, nullptr));
}

Code Environment::copy_to(const std::string& path, bool compact) {
  // Not by name: LMDB would make a file that everybody may read.
  const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, kFileMode);
  if (file < 0) return Code(errno);
  const int code = mdb_env_copyfd2(environment_, file, compact ? MDB_CP_COMPACT : 0U);
  const int closed = ::close(file) == 0 ? 0 : errno;
  return Code(code != 0 ? code : closed);
}

// --- Transaction ---

Code Transaction::begin_read(Environment& environment) {
  HARRIER_CHECK(transaction_ == nullptr);
  return Code(mdb_txn_begin(environment.environment_, nullptr, MDB_RDONLY, &transaction_));
}

Code Transaction::begin_write(Environment& environment) {
  HARRIER_CHECK(transaction_ == nullptr);
  return Code(mdb_txn_begin(environment.environment_, nullptr, 0, &transaction_));
}

void Transaction::reset() { mdb_txn_reset(transaction_); }
Code Transaction::renew() { return Code(mdb_txn_renew(transaction_)); }

Code Transaction::commit() {
  MDB_env* const environment = mdb_txn_env(transaction_);
  // Freed in any case, also when it fails.
  const int code = mdb_txn_commit(std::exchange(transaction_, nullptr));
  return Code(code == EIO && is_without_room(environment) ? ENOSPC : code);
}

void Transaction::abort() {
  if (transaction_ != nullptr) mdb_txn_abort(std::exchange(transaction_, nullptr));
}

Code Transaction::open(const char* name, bool create, Database& out) {
  return Code(mdb_dbi_open(transaction_, name, create ? MDB_CREATE : 0U, &out));
}

Code Transaction::stat(Database database, DatabaseStat& out) {
  MDB_stat stat{};
  const int code = mdb_stat(transaction_, database, &stat);
  out = {stat.ms_entries, stat.ms_branch_pages + stat.ms_leaf_pages + stat.ms_overflow_pages};
  return Code(code);
}

Code Transaction::get(Database database, ByteView key, ByteView& value) {
  MDB_val key_val = to_val(key);
  MDB_val value_val{};
  const int code = mdb_get(transaction_, database, &key_val, &value_val);
  if (code == 0) value = from_val(value_val);
  return Code(code);
}

Code Transaction::erase(Database database, ByteView key) {
  MDB_val key_val = to_val(key);
  return Code(mdb_del(transaction_, database, &key_val, nullptr));
}

// --- Cursor ---

Code Cursor::open(Transaction& transaction, Database database) {
  HARRIER_CHECK(cursor_ == nullptr);
  return Code(mdb_cursor_open(transaction.transaction_, database, &cursor_));
}

Code Cursor::renew(Transaction& transaction) {
  return Code(mdb_cursor_renew(transaction.transaction_, cursor_));
}

void Cursor::close() {
  if (cursor_ != nullptr) mdb_cursor_close(std::exchange(cursor_, nullptr));
}

Code Cursor::get(int operation) {
  MDB_val key = to_val(key_);
  MDB_val value{};
  const int code = mdb_cursor_get(cursor_, &key, &value, static_cast<MDB_cursor_op>(operation));
  if (code == 0) {
    key_ = from_val(key);
    value_ = from_val(value);
  }
  return Code(code);
}

Code Cursor::seek(ByteView key) {
  key_ = key;
  return get(MDB_SET_RANGE);
}
Code Cursor::find(ByteView key) {
  key_ = key;
  return get(MDB_SET_KEY);
}
Code Cursor::first() { return get(MDB_FIRST); }
Code Cursor::last() { return get(MDB_LAST); }
Code Cursor::next() { return get(MDB_NEXT); }

Code Cursor::put(ByteView key, std::size_t size, unsigned flags, std::uint8_t*& out) {
  MDB_val key_val = to_val(key);
  MDB_val value{size, nullptr};
  const int code = mdb_cursor_put(cursor_, &key_val, &value, MDB_RESERVE | flags);
  if (code == 0) out = static_cast<std::uint8_t*>(value.mv_data);
  if (code == MDB_KEYEXIST) value_ = from_val(value);
  return Code(code);
}

Code Cursor::insert(ByteView key, std::size_t size, std::uint8_t*& out) {
  return put(key, size, MDB_NOOVERWRITE, out);
}
Code Cursor::append(ByteView key, std::size_t size, std::uint8_t*& out) {
  return put(key, size, MDB_APPEND, out);
}
Code Cursor::replace(ByteView key, std::size_t size, std::uint8_t*& out) {
  return put(key, size, 0, out);
}

Code Cursor::erase() { return Code(mdb_cursor_del(cursor_, 0)); }

}  // namespace harrier::persistence::lmdb
