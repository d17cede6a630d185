// SPDX-License-Identifier: Apache-2.0
//
// The method codec: encode, size, decode, print and parse-by-name, each one fold over the constexpr
// field list of the generated structs. Decoded methods are views: their strings and tables live as
// long as the bytes they came from. Failure is a value (DecodeStatus); only the connection turns it
// into 501 or 503.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "protocol/bytes.hpp"
#include "protocol/error.hpp"
#include "protocol/frame.hpp"
#include "protocol/methods.hpp"

namespace harrier::protocol {

enum class DecodeStatus {
  Ok,
  UnknownMethod,  // 503, C-086
  Malformed,      // 501: short, trailing bytes, bad table (C-084, C-404)
  BadUtf8,  // 501: C-085 (routing keys of publish, deliver, return and get-ok may be any bytes)
};

// The ids at the start of a method frame's payload; nullopt if it is shorter than four bytes.
std::optional<MethodId> peek_method(ByteView payload);

// `payload` is that of a method frame, ids included.
DecodeStatus decode_method(ByteView payload, Method& out);

// The explanation of the error that a status other than Ok asks for: 501 with the method's own ids
// for Malformed, 501 with 0/0 for BadUtf8, 503 with the ids for UnknownMethod (C-084 to C-086).
std::string decode_error_text(DecodeStatus status, ByteView payload);

// The same for a method whose type is known from peek_method; `payload` includes the ids.
template <class M>
DecodeStatus decode_as(ByteView payload, M& out);

template <class M>
std::size_t encoded_size(const M& method);  // ids included
std::size_t encoded_size(const Method& method);

// Writes ids and arguments; returns the end. Short strings longer than 255 bytes are a caller's bug
// (asserted).
template <class M>
std::uint8_t* encode(const M& method, std::uint8_t* out);
std::uint8_t* encode(const Method& method, std::uint8_t* out);

// A whole method frame: header, ids, arguments, end octet.
template <class M>
std::size_t frame_size(const M& method);
template <class M>
std::uint8_t* encode_frame(std::uint16_t channel, const M& method, std::uint8_t* out);

MethodId id_of(const Method& method);
std::string_view name_of(const Method& method);  // "queue.declare"
std::string_view name_of(MethodId id);           // "" if unknown
bool has_content(MethodId id);

// queue.declare queue=q passive=false durable=true ... arguments={"x-max-length": 5}
// Every field in wire order; reserved tickets only if they are not 0. Values of tables are written
// as in value_text.hpp, so that nothing is lost: encoding what parse_method() makes of the text
// gives the same bytes again.
std::string print(const Method& method);

// A method that owns what its views point to.
class OwnedMethod {
 public:
  const Method& get() const { return method_; }

 private:
  friend std::optional<OwnedMethod> parse_method(std::string_view text, std::string& error);
  Method method_;
  std::shared_ptr<void> storage_;  // strings and tables never move once parsed
};

// Reads what print() writes; fields may come in any order ('-' and '_' in names are the same),
// absent ones take the definition's defaults. On failure `error` says what is wrong and where.
std::optional<OwnedMethod> parse_method(std::string_view text, std::string& error);

}  // namespace harrier::protocol

#include "protocol/codec_impl.hpp"  // the folds: templates of this header
