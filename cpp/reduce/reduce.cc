#include "reduce/reduce.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include <cstdlib>
#include <string>
#include <string_view>

#include "reduce/kernel_tables.h"

namespace distos_coll::reduce {
namespace {

struct Available {
  const Kernels* list[3] = {};
  size_t count = 0;
};

#if defined(__x86_64__)
// Not a name that every compiler's __builtin_cpu_supports knows. That the system saves the wide
// registers is part of its answer for AVX2.
bool has_f16c() {
  unsigned eax = 0;
  unsigned ebx = 0;
  unsigned ecx = 0;
  unsigned edx = 0;
  return __get_cpuid(1, &eax, &ebx, &ecx, &edx) != 0 && (ecx & bit_F16C) != 0;
}
#endif

Available detect() {
  Available found;
  found.list[found.count++] = &kGenericKernels;
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx2") && has_f16c()) {
    found.list[found.count++] = &kAvx2Kernels;
  }
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq")) {
    found.list[found.count++] = &kAvx512Kernels;
  }
#endif
  return found;
}

const Available& available() {
  static const Available found = detect();
  return found;
}

struct Choice {
  const Kernels* kernels = nullptr;
  std::string error;
};

Choice choose() {
  Choice choice{available_kernels().back(), {}};
  const char* forced = std::getenv("DISTOS_COLL_ISA");
  if (forced == nullptr || *forced == '\0') return choice;
  std::string names;
  for (const Kernels* kernels : available_kernels()) {
    if (std::string_view(kernels->isa) == forced) return Choice{kernels, {}};
    names += names.empty() ? "" : ", ";
    names += kernels->isa;
  }
  choice.error = "DISTOS_COLL_ISA=" + std::string(forced) + " cannot run on this machine; " +
                 choice.kernels->isa + " is used. Available: " + names +
                 ". Unset it, or set one of these.";
  return choice;
}

const Choice& choice() {
  static const Choice made = choose();
  return made;
}

}  // namespace

const Kernels& kernels() { return *choice().kernels; }

std::span<const Kernels* const> available_kernels() {
  return {available().list, available().count};
}

const char* isa_error() { return choice().error.empty() ? nullptr : choice().error.c_str(); }

bool supported(DType dtype, ReduceOp op) {
  const auto d = static_cast<int>(dtype);
  const auto o = static_cast<int>(op);
  if (d < 0 || d >= kDTypeCount || o < 0 || o >= kReduceOpCount) return false;
  return kGenericKernels.reduce[d][o] != nullptr;
}

}  // namespace distos_coll::reduce
