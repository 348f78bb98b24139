// SIMD building blocks shared by the kernel files (kernels_*.cc), written with the vector
// extensions of GCC and Clang so that one source serves SSE2, AVX2, AVX-512 and NEON.
//
// ODR rule for every header of this folder but reduce.h and kernel_tables.h: code is compiled
// several times for different instruction sets, and the linker merges inline functions and
// templates of equal name. A merged AVX-512 copy would crash an older CPU, so every function is a
// template over `Isa`, a type from the unnamed namespace of the including .cc, which gives each
// instance internal linkage. For the same reason nothing here calls a function of the standard
// library.
#pragma once

#include <cstddef>
#include <cstdint>

#define DISTOS_COLL_INLINE [[gnu::always_inline]] static inline

namespace distos_coll::reduce {

template <class T, size_t kBytes>
struct VecOf {
  typedef T type __attribute__((vector_size(kBytes)));
};

// A vector of T that fills `kBytes`.
template <class T, size_t kBytes>
using Vec = typename VecOf<T, kBytes>::type;

template <class Isa>
struct Memory {
  template <class V>
  DISTOS_COLL_INLINE V load(const char* src) {
    V v;
    __builtin_memcpy(&v, src, sizeof(V));
    return v;
  }

  template <class V>
  DISTOS_COLL_INLINE void store(char* dst, V v) {
    __builtin_memcpy(dst, &v, sizeof(V));
  }
};

// The first `bytes` < sizeof(V) of a vector, the rest zero. Copies of fixed size, since a call of
// memcpy per source would dominate small messages. An instruction set with byte masks replaces it.
template <class Isa>
struct PartialByCopy {
  template <class V>
  DISTOS_COLL_INLINE V load_partial(const char* src, size_t bytes) {
    char buffer[sizeof(V)] = {};
    copy<sizeof(V)>(buffer, src, bytes);
    return Memory<Isa>::template load<V>(buffer);
  }

  template <class V>
  DISTOS_COLL_INLINE void store_partial(char* dst, V v, size_t bytes) {
    char buffer[sizeof(V)];
    Memory<Isa>::template store<V>(buffer, v);
    copy<sizeof(V)>(dst, buffer, bytes);
  }

 private:
  template <size_t kLimit>
  DISTOS_COLL_INLINE void copy(char* dst, const char* src, size_t bytes) {
    size_t at = 0;
    if (kLimit > 32 && (bytes & 32) != 0) copy_some<32>(dst, src, &at);
    if (kLimit > 16 && (bytes & 16) != 0) copy_some<16>(dst, src, &at);
    if ((bytes & 8) != 0) copy_some<8>(dst, src, &at);
    if ((bytes & 4) != 0) copy_some<4>(dst, src, &at);
    if ((bytes & 2) != 0) copy_some<2>(dst, src, &at);
    if ((bytes & 1) != 0) copy_some<1>(dst, src, &at);
  }

  template <size_t kBytes>
  DISTOS_COLL_INLINE void copy_some(char* dst, const char* src, size_t* at) {
    __builtin_memcpy(dst + *at, src + *at, kBytes);
    *at += kBytes;
  }
};

}  // namespace distos_coll::reduce
