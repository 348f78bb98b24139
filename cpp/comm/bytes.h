// Little-endian integers and short strings, written to and read from untrusted bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <type_traits>

namespace distos_coll {

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
              "the wire is little-endian and so are all supported hosts");

class ByteWriter {
 public:
  template <typename T>
  void number(T value) {
    static_assert(std::is_integral_v<T>);
    out_.append(reinterpret_cast<const char*>(&value), sizeof value);
  }
  void raw(const void* data, size_t bytes) { out_.append(static_cast<const char*>(data), bytes); }
  // 16-bit length, then the bytes. The caller keeps it below 64 KiB.
  void text(const std::string& value) {
    number(static_cast<uint16_t>(value.size()));
    out_ += value;
  }
  std::string take() { return std::move(out_); }

 private:
  std::string out_;
};

// After a read that did not fit, ok() is false and everything read is zero or empty.
class ByteReader {
 public:
  ByteReader(const void* data, size_t bytes) : at_(static_cast<const char*>(data)), left_(bytes) {}

  template <typename T>
  T number() {
    static_assert(std::is_integral_v<T>);
    T value{};
    raw(&value, sizeof value);
    return value;
  }
  void raw(void* out, size_t bytes) {
    if (!take(bytes)) return;
    if (bytes > 0) std::memcpy(out, at_ - bytes, bytes);
  }
  std::string text(size_t max_bytes) {
    const auto bytes = number<uint16_t>();
    if (bytes > max_bytes) ok_ = false;
    if (!take(bytes)) return {};
    return std::string(at_ - bytes, bytes);
  }
  bool ok() const { return ok_; }
  size_t left() const { return left_; }

 private:
  bool take(size_t bytes) {
    if (bytes > left_) ok_ = false;
    if (!ok_) return false;
    at_ += bytes;
    left_ -= bytes;
    return true;
  }

  const char* at_;
  size_t left_;
  bool ok_ = true;
};

}  // namespace distos_coll
