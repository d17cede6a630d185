// SPDX-License-Identifier: Apache-2.0
#include "persistence/image.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>

#include "persistence/image_format.hpp"
#include "persistence/image_reader.hpp"
#include "persistence/image_snapshot.hpp"
#include "persistence/image_writer.hpp"
#include "persistence/lmdb_file.hpp"
#include "protocol/check.hpp"

namespace harrier::persistence {
namespace {

using lmdb::Code;
using protocol::as_bytes;
using protocol::ByteReader;
using protocol::ByteView;

constexpr unsigned kDatabasesMax = 16;  // 7 of this format, room for those of later ones
constexpr unsigned kReadersMax = 256;   // snapshots at once; a slot in LMDB's table is 64 bytes
// The address space may be limited (ulimit -v, sanitizers). Below this there is no point in trying.
constexpr std::uint64_t kMapBytesMin = std::uint64_t{1} << 26;

Status format_failure(const std::string& path, std::uint32_t version) {
  return Status::failed(path + " has format " + std::to_string(version) +
                        ", this program knows up to " + std::to_string(image::kFormat) +
                        ": start the newer Harrier that wrote it");
}

Status foreign(const std::string& path) {
  return Status::failed(path + " is an LMDB file, but not a store of Harrier");
}

Status open_environment(const std::string& path, std::uint64_t map_bytes, Image::Access access,
                        bool flush, std::unique_ptr<lmdb::Environment>& out) {
  const bool write = access == Image::Access::Writing;
  const bool lock = access != Image::Access::Reading;
  for (;; map_bytes /= 2) {
    const Code code = lmdb::Environment::open(
        {path, map_bytes, kDatabasesMax, kReadersMax, flush, write, lock}, out);
    if (code.ok()) return {};
    if (code.not_an_environment()) {
      return Status::failed(path + " is not a store of Harrier, or its header is damaged" +
                            std::string(kRestoreRemedy));
    }
    if (!code.out_of_memory() || map_bytes / 2 < kMapBytesMin) {
      return code.status(path + " cannot be opened");
    }
  }
}

}  // namespace

Image::Image() = default;

Image::~Image() {
  HARRIER_CHECK(!writing_);
  HARRIER_CHECK(readers_out_ == 0);
}

Status Image::open(const std::string& path, std::uint64_t map_bytes, std::unique_ptr<Image>& out,
                   Flush flush) {
  std::error_code error;
  const bool exists = std::filesystem::exists(path, error);
  if (error) return Status::failed(path + " cannot be examined: " + error.message());
  if (!exists) {
    if (Status status = create(path, map_bytes, flush); !status.ok()) return status;
  }
  return open_existing(path, map_bytes, Access::Writing, flush, out);
}

Status Image::open_to_read(const std::string& path, Access access, std::unique_ptr<Image>& out) {
  return open_existing(path, kMapBytes, access, Flush::EveryCommit, out);
}

Status Image::open_existing(const std::string& path, std::uint64_t map_bytes, Access access,
                            Flush flush, std::unique_ptr<Image>& out) {
  if (Status status = lmdb::check_header(path); !status.ok()) return status;
  std::unique_ptr<Image> image(new Image());
  Status status =
      open_environment(path, map_bytes, access, flush == Flush::EveryCommit, image->environment_);
  if (!status.ok()) return status;
  // Beside a writer the length is that one's business, and changes.
  if (access == Access::Writing) status = lmdb::check_length(*image->environment_, path);
  if (access == Access::Reading) status = lmdb::check_length_read_only(*image->environment_, path);
  if (!status.ok()) return status;
  if (status = image->open_databases(path, false); !status.ok()) return status;
  out = std::move(image);
  return {};
}

// Under another name first, so that an interrupted start leaves no file that looks damaged, and a
// file that was emptied is not taken for a new one.
Status Image::create(const std::string& path, std::uint64_t map_bytes, Flush flush) {
  const std::string draft = path + ".new";
  std::error_code error;
  std::filesystem::remove(draft, error);
  if (error) return Status::failed(draft + " cannot be removed: " + error.message());
  {
    Image image;
    Status status = open_environment(draft, map_bytes, Access::Writing, flush == Flush::EveryCommit,
                                     image.environment_);
    if (status.ok()) status = image.open_databases(draft, true);
    if (!status.ok()) return status;
  }
  std::filesystem::rename(draft, path, error);
  if (error) return Status::failed(path + " cannot be created: " + error.message());
  std::filesystem::remove(draft + "-lock", error);  // only litter if it stays
  return lmdb::flush_file(path);
}

Status Image::open_databases(const std::string& path, bool is_new) {
  const std::string what = path + " cannot be opened";
  lmdb::Transaction transaction;
  const Code began =
      is_new ? transaction.begin_write(*environment_) : transaction.begin_read(*environment_);
  if (!began.ok()) return began.status(what);
  const Code opened = transaction.open("meta", is_new, databases_.meta);
  // Not found, or a plain value of that name.
  if (!opened.ok()) return is_new ? opened.status(what) : foreign(path);
  Status status = is_new ? write_new_meta(transaction) : check_format(transaction, path);
  if (!status.ok()) return status;
  status = open_others(transaction, is_new, path);
  if (!status.ok()) return status;
  return transaction.commit().status(what);
}

Status Image::open_others(lmdb::Transaction& transaction, bool is_new, const std::string& path) {
  const std::pair<const char*, lmdb::Database*> named[] = {{"definitions", &databases_.definitions},
                                                           {"queues", &databases_.queues},
                                                           {"messages", &databases_.messages},
                                                           {"contents", &databases_.contents},
                                                           {"parts", &databases_.parts},
                                                           {"garbage", &databases_.garbage}};
  for (const auto& [name, database] : named) {
    const Code code = transaction.open(name, is_new, *database);
    if (code.ok()) continue;
    return code.status(is_new ? path + " cannot be created"
                              : path + " is damaged: its database of " + name +
                                    std::string(kRestoreRemedy));
  }
  return {};
}

Status Image::write_new_meta(lmdb::Transaction& transaction) {
  constexpr std::string_view kWhat = "a new store cannot be written";
  Bytes format(image::kFormatMark.size() + 4);
  protocol::put_u32(protocol::put_raw(format.data(), as_bytes(image::kFormatMark)), image::kFormat);
  lmdb::Cursor cursor;
  if (const Code code = cursor.open(transaction, databases_.meta); !code.ok()) {
    return code.status(kWhat);
  }
  if (const Code code = image::put_row(cursor, as_bytes(image::kFormatKey), format); !code.ok()) {
    return code.status(kWhat);
  }
  return image::put_row(cursor, as_bytes(image::kStateKey), image::meta_body(Meta())).status(kWhat);
}

Status Image::check_format(lmdb::Transaction& transaction, const std::string& path) {
  ByteView value;
  const ByteView key = as_bytes(image::kFormatKey);
  const Code code = transaction.get(databases_.meta, key, value);
  if (code.not_found()) return foreign(path);
  if (!code.ok()) return code.status(path + " cannot be opened");
  const std::optional<ByteView> body = image::unseal(key, value);
  if (!body)
    return Status::failed(path + " is damaged: its format is unknown" +
                          std::string(kRestoreRemedy));
  if (body->size() != image::kFormatMark.size() + 4 ||
      protocol::as_text(body->first(image::kFormatMark.size())) != image::kFormatMark) {
    return foreign(path);
  }
  format_ = ByteReader(body->subspan(image::kFormatMark.size())).u32();
  return format_ > image::kFormat ? format_failure(path, format_) : Status();
}

Status Image::take_reader(std::unique_ptr<Reader>& out) {
  constexpr std::string_view kWhat = "the store cannot be read";
  {
    const std::lock_guard lock(mutex_);
    if (!idle_readers_.empty()) {
      out = std::move(idle_readers_.back());
      idle_readers_.pop_back();
    }
  }
  if (out) {
    if (const Code code = out->transaction.renew(); !code.ok()) return code.status(kWhat);
    return out->messages.renew(out->transaction).status(kWhat);
  }
  out = std::make_unique<Reader>();
  if (const Code code = out->transaction.begin_read(*environment_); !code.ok()) {
    return code.status(kWhat);
  }
  return out->messages.open(out->transaction, databases_.messages).status(kWhat);
}

void Image::give_back(std::unique_ptr<Reader> reader) {
  reader->transaction.reset();
  const std::lock_guard lock(mutex_);
  idle_readers_.push_back(std::move(reader));
  --readers_out_;
}

Status Image::snapshot(std::unique_ptr<Snapshot>& out) {
  std::unique_ptr<Reader> reader;
  if (Status status = take_reader(reader); !status.ok()) return status;
  {
    const std::lock_guard lock(mutex_);
    ++readers_out_;
  }
  out.reset(new Snapshot(*this, std::move(reader)));
  return {};
}

Status Image::begin(std::unique_ptr<Writer>& out) {
  HARRIER_CHECK(!writing_);
  environment_->forget_dead_readers();
  std::unique_ptr<Writer> writer(new Writer(*this));
  if (Status status = writer->begin(); !status.ok()) return status;
  out = std::move(writer);
  return {};
}

Status Image::sweep(std::size_t rows_max, bool& more) {
  std::unique_ptr<Writer> writer;
  if (Status status = begin(writer); !status.ok()) return status;
  writer->sweep(rows_max);
  Status status = writer->commit();
  more = writer->garbage_left();
  return status;
}

Status Image::stats(Stats& out) {
  constexpr std::string_view kWhat = "the store's figures cannot be read";
  struct ::stat file {};
  if (::fstat(environment_->file(), &file) != 0) {
    return Status::failed(std::string(kWhat) + ": " + std::generic_category().message(errno));
  }
  std::unique_ptr<Snapshot> snapshot;
  if (Status status = this->snapshot(snapshot); !status.ok()) return status;
  lmdb::Transaction& transaction = snapshot->reader_->transaction;
  const lmdb::Environment::Info info = environment_->info();
  out = {};
  out.file_bytes = static_cast<std::uint64_t>(file.st_size);
  out.map_bytes = info.map_bytes;
  out.page_bytes = info.page_bytes;
  out.pages = info.pages;
  const std::pair<lmdb::Database, std::uint64_t*> counted[] = {
      {databases_.definitions, &out.definitions},
      {databases_.queues, &out.queues},
      {databases_.messages, &out.message_rows},
      {databases_.contents, &out.contents},
      {databases_.parts, &out.parts},
      {databases_.garbage, &out.garbage}};
  for (const auto& [database, entries] : counted) {
    lmdb::DatabaseStat found;
    if (const Code code = transaction.stat(database, found); !code.ok()) return code.status(kWhat);
    *entries = found.entries;
  }
  lmdb::Cursor cursor;
  if (const Code code = cursor.open(transaction, lmdb::kFreeList); !code.ok()) {
    return code.status(kWhat);
  }
  Code code = cursor.first();
  for (; code.ok(); code = cursor.next()) {
    std::uint64_t count = 0;  // a native word before the page numbers
    if (cursor.value().size() >= sizeof count) {
      std::memcpy(&count, cursor.value().data(), sizeof count);
    }
    out.free_pages += count;
  }
  return code.not_found() ? Status() : code.status(kWhat);
}

Status Image::copy_to(const std::string& path, bool compact) {
  std::error_code error;
  if (std::filesystem::exists(path, error)) return Status::failed(path + " exists already");
  const Code code = environment_->copy_to(path, compact);
  if (code.ok()) return lmdb::flush_file(path);
  // Half a copy is worse than none. What cannot be removed is named by the failure anyway.
  std::filesystem::remove(path, error);
  return code.status("the store cannot be copied to " + path);
}

}  // namespace harrier::persistence
