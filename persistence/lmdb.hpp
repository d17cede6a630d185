// SPDX-License-Identifier: Apache-2.0
//
// LMDB as objects: environment, transaction, cursor, and its error codes as values. No policy: what
// is stored and when it is flushed is the image's business. LMDB's rules hold: one write
// transaction at a time, used by the thread that began it; a reading one by one thread at a time;
// views die with the transaction, those of a writing one with its next change. An environment
// outlives what was made from it. Failure is a Code; only open() and copy_to() touch the file
// system otherwise.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "persistence/status.hpp"
#include "protocol/bytes.hpp"

struct MDB_env;
struct MDB_txn;
struct MDB_cursor;

namespace harrier::persistence::lmdb {

using protocol::ByteView;
using Database = unsigned int;

inline constexpr Database kFreeList = 0;  // LMDB's own: which pages are free; for reading only

class [[nodiscard]] Code {
 public:
  Code() = default;  // ok
  explicit Code(int value) : value_(value) {}

  bool ok() const { return value_ == 0; }
  bool not_found() const;      // no such key, or none further
  bool exists() const;         // the key is there already
  bool full() const;           // disk or map; the transaction can only be aborted
  bool out_of_memory() const;  // or out of address space
  bool not_an_environment() const;
  int value() const { return value_; }
  Status status(std::string_view what) const;  // ok, full or failed: "what: LMDB's text"

 private:
  int value_ = 0;
};

class Environment {
 public:
  struct Options {
    std::string path;  // of the file itself; its lock file is beside it
    std::uint64_t map_bytes = 0;
    unsigned databases_max = 0;
    unsigned readers_max = 0;
    bool flush = true;  // every commit; false: the file is worth nothing after a crash
    bool write = true;
    bool lock = true;  // false: no lock file is used or made; nobody else may have it open to write
  };
  struct Info {
    std::uint64_t map_bytes = 0;
    std::uint64_t page_bytes = 0;
    std::uint64_t pages = 0;  // of the newest committed state, free ones included
    std::uint64_t readers = 0;
  };

  // Creates the file, if it may write.
  static Code open(const Options& options, std::unique_ptr<Environment>& out);
  ~Environment();
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;

  Info info() const;
  int file() const;  // descriptor
  // Of processes that ended without a word: what they read would be kept for ever.
  void forget_dead_readers();
  Code copy_to(const std::string& path, bool compact);

 private:
  friend class Transaction;
  explicit Environment(MDB_env* environment) : environment_(environment) {}
  MDB_env* environment_;
};

struct DatabaseStat {
  std::uint64_t entries = 0;
  std::uint64_t pages = 0;
};

class Transaction {
 public:
  Transaction() = default;
  ~Transaction() { abort(); }
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;

  Code begin_read(Environment& environment);
  Code begin_write(Environment& environment);
  // A reading transaction between reset() and renew() pins nothing and keeps its place.
  void reset();
  Code renew();
  // Cursors of a writing transaction are closed before either.
  Code commit();
  void abort();

  Code open(const char* name, bool create, Database& out);
  Code stat(Database database, DatabaseStat& out);
  Code get(Database database, ByteView key, ByteView& value);
  Code erase(Database database, ByteView key);

 private:
  friend class Cursor;
  MDB_txn* transaction_ = nullptr;
};

class Cursor {
 public:
  Cursor() = default;
  ~Cursor() { close(); }
  Cursor(const Cursor&) = delete;
  Cursor& operator=(const Cursor&) = delete;

  Code open(Transaction& transaction, Database database);
  Code renew(Transaction& transaction);  // a reading one, after the transaction's renew()
  void close();

  // Where ok, key() and value() are those of the row that was found.
  Code seek(ByteView key);  // first that is not below
  Code find(ByteView key);
  Code first();
  Code last();
  Code next();
  ByteView key() const { return key_; }
  ByteView value() const { return value_; }

  // Room for a value, to be filled before the next change. insert(): exists() if the key is there,
  // value() is its value then.
  Code insert(ByteView key, std::size_t size, std::uint8_t*& out);
  // For a key above all others: fills pages fully. exists(): it is not.
  Code append(ByteView key, std::size_t size, std::uint8_t*& out);
  Code replace(ByteView key, std::size_t size, std::uint8_t*& out);  // or insert
  Code erase();  // the row that was found; next() gives the one behind it

 private:
  Code get(int operation);
  Code put(ByteView key, std::size_t size, unsigned flags, std::uint8_t*& out);

  MDB_cursor* cursor_ = nullptr;
  ByteView key_;
  ByteView value_;
};

}  // namespace harrier::persistence::lmdb
