// SPDX-License-Identifier: Apache-2.0
#include "persistence/inspect.hpp"

#include <algorithm>
#include <filesystem>
#include <map>
#include <memory>
#include <set>
#include <system_error>
#include <tuple>
#include <utility>

#include "persistence/definitions.hpp"
#include "persistence/directory_lock.hpp"
#include "persistence/image_snapshot.hpp"
#include "persistence/journal_replay.hpp"
#include "persistence/layers.hpp"
#include "persistence/lmdb_store.hpp"

namespace harrier::persistence {
namespace {

// The broker may keep a queue's messages in several parts, each a queue of its own to the store:
// the queue's id stands in the lower 48 bits of each part's (docs/storage-format.md).
QueueId owner_of(QueueId part) {
  constexpr std::uint64_t kOwnerMask = (std::uint64_t{1} << 48) - 1;
  return QueueId{static_cast<std::uint64_t>(part) & kOwnerMask};
}

std::string quoted(const Define& definition) {
  return "'" + definition.name + "' in vhost '" + definition.vhost + "'";
}

class Inspector {
 public:
  Inspector(const std::string& directory, bool verify, Inspection& out)
      : directory_(directory), verify_(verify), out_(out) {}

  Status run();

 private:
  Status start();
  bool damaged(const Status& status);  // whether it is
  void damaged(std::string text) { out_.damage.push_back(std::move(text)); }
  void read_image();
  void read_journal_files();
  Status replay(ReplayedJournal& journal);
  void compare_store(const ReplayedJournal& journal);
  void read_definitions();
  void read_queues();
  void check_definitions();
  void check_contents();

  const std::string directory_;
  const bool verify_;
  Inspection& out_;
  DirectoryLock lock_;
  std::unique_ptr<Image> image_;
  std::unique_ptr<Layers> layers_;
};

bool Inspector::damaged(const Status& status) {
  if (!status.ok()) damaged(status.error());
  return !status.ok();
}

Status Inspector::start() {
  std::error_code error;
  if (!std::filesystem::is_directory(directory_, error)) {
    return Status::failed("there is no directory '" + directory_ + "'");
  }
  DirectoryLock::Outcome outcome{};
  Status status = lock_.take(directory_, DirectoryLock::Create::No, outcome);
  if (!status.ok()) return status;
  if (outcome == DirectoryLock::Outcome::InUse) {
    return Status::failed("'" + directory_ +
                          "' is in use by a running broker, or by another command; stop that, or "
                          "make a backup and inspect the copy");
  }
  const bool image = std::filesystem::exists(directory_ + "/store.mdb", error);
  if (!image && !std::filesystem::exists(directory_ + "/journal", error)) {
    return Status::failed("'" + directory_ + "' holds no store");
  }
  if (!image) damaged(directory_ + "/store.mdb is missing, though there is a journal");
  return {};
}

void Inspector::read_image() {
  Status status = Image::open_to_read(directory_ + "/store.mdb", Image::Access::Reading, image_);
  if (damaged(status)) return;
  out_.image_format = image_->format();
  std::unique_ptr<Image::Snapshot> snapshot;
  status = image_->snapshot(snapshot);
  if (status.ok()) status = snapshot->meta(out_.meta);
  if (damaged(status)) return;
  out_.image_read = true;
  damaged(image_->stats(out_.image));
  if (verify_) damaged(snapshot->check());
}

void Inspector::read_journal_files() {
  std::error_code error;
  std::filesystem::directory_iterator entry(directory_ + "/journal", error);
  for (; !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
    if (!segment_number(entry->path().filename().string())) continue;
    ++out_.journal_files;
    std::error_code unknown;
    const std::uintmax_t bytes = entry->file_size(unknown);
    if (!unknown) out_.journal_bytes += bytes;
  }
}

// Without a journal at all only a copy is whole that was made so.
Status Inspector::replay(ReplayedJournal& journal) {
  JournalOptions options;
  options.directory = directory_ + "/journal";
  options.may_be_missing = out_.meta.store == 0;
  std::error_code error;
  if (options.may_be_missing && !std::filesystem::exists(options.directory, error)) return {};
  const auto visit = [this](JournalPosition at, protocol::ByteView payload) {
    return layers_->apply(at, payload, at + payload.size());
  };
  return read_journal(options, out_.meta.journal, visit, journal, out_.replay);
}

void Inspector::compare_store(const ReplayedJournal& journal) {
  if (!out_.meta.whole && out_.replay.entries == 0) {
    damaged("store.mdb is half of a checkpoint, and the journal has not the rest");
  }
  if (out_.meta.store == 0 && out_.replay.entries > 0) {
    damaged(
        "store.mdb is a copy that was made without a journal, and the journal beside it has "
        "entries");
  }
  if (out_.meta.store != 0 && (!journal.id || store_of(*journal.id) != out_.meta.store)) {
    damaged("the journal belongs to another store.mdb, or is missing");
  }
}

void Inspector::read_definitions() {
  if (damaged(layers_->definitions(*image_, out_.definitions))) return;
  for (const Define& definition : out_.definitions) {
    if (definition.kind != Kind::Queue) continue;
    const auto queue = decode_queue(definition.value);
    if (!queue) continue;  // check_definitions() tells
    Inspection::Queue& found = out_.queues.emplace_back();
    found.id = queue->id;
    found.defined = true;
    found.vhost = definition.vhost;
    found.name = definition.name;
  }
}

void Inspector::read_queues() {
  std::vector<RecoveredQueue> counted;
  if (damaged(layers_->count(*image_, counted))) return;
  std::map<QueueId, std::size_t> place;
  for (std::size_t i = 0; i < out_.queues.size(); ++i) place.emplace(out_.queues[i].id, i);
  for (const RecoveredQueue& each : counted) {
    const QueueId owner = owner_of(each.queue);
    auto at = place.find(owner);
    if (at == place.end()) {
      at = place.emplace(owner, out_.queues.size()).first;
      out_.queues.emplace_back().id = owner;
    }
    Inspection::Queue& queue = out_.queues[at->second];
    queue.messages += each.messages;
    queue.bytes += each.bytes;
    queue.seq_max = std::max(queue.seq_max, each.seq_max);
  }
  std::ranges::sort(out_.queues, {}, [](const Inspection::Queue& queue) {
    return std::tuple(!queue.defined, queue.vhost, queue.name, queue.id);
  });
}

// Each can be read, no two queues are one, and bindings lead to something.
void Inspector::check_definitions() {
  std::map<QueueId, const Define*> ids;
  std::set<std::pair<std::string, std::string>> queues;
  for (const Define& definition : out_.definitions) {
    bool good = true;
    if (definition.kind == Kind::Vhost ||
        (definition.kind > Kind::Binding && definition.kind < Kind::Counter)) {
      good = decode_settings(definition.value).has_value();
    }
    if (definition.kind == Kind::Exchange) good = decode_exchange(definition.value).has_value();
    if (definition.kind == Kind::Queue) {
      const auto queue = decode_queue(definition.value);
      good = queue.has_value();
      queues.emplace(definition.vhost, definition.name);
      const auto place = queue ? ids.emplace(queue->id, &definition) : std::pair(ids.end(), true);
      if (!place.second) {
        damaged("queue " + quoted(definition) + " has the id of queue " +
                quoted(*place.first->second));
      }
    }
    if (definition.kind == Kind::Binding) {  // which come after the queues
      const auto binding = decode_binding(definition.value);
      good = binding.has_value();
      if (good && !binding->to_exchange &&
          !queues.contains({definition.vhost, binding->destination})) {
        damaged("a binding leads to queue '" + binding->destination + "' in vhost '" +
                definition.vhost + "', which is not there");
      }
    }
    if (!good) {
      damaged("the definition of " + quoted(definition) + ", kind " +
              std::to_string(static_cast<unsigned>(definition.kind)) + ", cannot be read");
    }
  }
}

// Messages of the journal that refer to a content find it there.
void Inspector::check_contents() {
  JournalPosition through = 0;
  const Delta* const delta = layers_->freeze(through);
  if (delta == nullptr) return;
  for (const auto& [id, queue] : delta->queues()) {
    for (auto at = queue.added.from(0); at != queue.added.end(); ++at) {
      if (!at->filled() || at->content == 0 || delta->content(at->content) != nullptr) continue;
      damaged("the journal has no content " + std::to_string(at->content) + " for message " +
              std::to_string(at->seq) + " of queue " +
              std::to_string(static_cast<std::uint64_t>(id)));
    }
  }
}

Status Inspector::run() {
  if (Status status = start(); !status.ok()) return status;
  const bool locked = lock_.held();
  if (out_.damage.empty()) read_image();
  read_journal_files();
  if (!out_.image_read) return {};

  layers_ = std::make_unique<Layers>(out_.meta.journal);
  ReplayedJournal journal;
  out_.journal_read = !damaged(replay(journal));
  if (out_.journal_read) {
    compare_store(journal);
    if (journal.id) out_.journal_format = kJournalVersion;
  } else {
    layers_ = std::make_unique<Layers>(out_.meta.journal);  // half a replay is no state at all
  }
  out_.clean = out_.meta.clean && out_.journal_read && out_.replay.entries == 0;
  read_definitions();
  read_queues();
  check_definitions();
  if (verify_) check_contents();
  out_.verified = verify_;
  if (!locked && DirectoryLock::file_exists(directory_)) {
    return Status::failed("a broker was started on '" + directory_ + "' meanwhile");
  }
  return {};
}

}  // namespace

Status inspect(const std::string& directory, bool verify, Inspection& out) {
  out = {};
  return Inspector(directory, verify, out).run();
}

}  // namespace harrier::persistence
