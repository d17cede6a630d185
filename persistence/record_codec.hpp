// SPDX-License-Identifier: Apache-2.0
//
// The bytes of single records, whose grammar is in persistence/write_batch.hpp, and of the parts of
// an Enqueue that are also kept elsewhere: its message, and its times (enqueued-at and expiry).
// Pure functions. Encoders write exactly the size that the function beside them says; decoders are
// total: what is wrong fails the reader.
#pragma once

#include "persistence/message_store.hpp"
#include "persistence/write_batch.hpp"

namespace harrier::persistence {

std::size_t encoded_size(const Record& record);
std::uint8_t* encode(const Record& record, std::uint8_t* out);  // returns the end, here and below
Record decode_record(protocol::ByteReader& reader);

// What the encoding of a message adds to its content_size.
inline constexpr std::size_t kMessageFraming = 1 + 1 + 4 + 4;

// A message: its head is everything before the bytes of the body.
std::size_t encoded_size(const protocol::Message& message);
std::size_t encoded_head_size(const protocol::Message& message);
std::uint8_t* encode_head(const protocol::Message& message, std::uint8_t* out);
protocol::MessagePtr decode_message(protocol::ByteReader& reader);  // null: the reader has failed

std::size_t encoded_times_size(const Enqueue& record);
std::uint8_t* encode_times(const Enqueue& record, std::uint8_t* out);
void decode_times(protocol::ByteReader& reader, StoredMessage& out);

}  // namespace harrier::persistence
