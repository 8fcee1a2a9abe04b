/* Chooses the instruction set and fills the kernel table. */
#include "kernels.h"

#include <stdio.h>
#include <string.h>

#if defined(__x86_64__)
static bool has_avx2(void) { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
/* VBMI2 stands for Ice Lake, Zen 4 and what came after: older processors lower their clock for wide multiplications. */
static bool has_avx512(void) {
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512vbmi2");
}
#endif
static bool always(void) { return true; }

/* The sets compiled in, each after those it builds on. */
static const struct {
    const char *name;
    bool (*supported)(void);
    void (*fill)(wg_kernels *k);
} sets[] = {
    {"generic", always, wg_kernels_generic},
#if defined(__x86_64__)
    {"avx2", has_avx2, wg_kernels_avx2},
    {"avx512", has_avx512, wg_kernels_avx512},
#elif defined(__aarch64__)
    {"neon", always, wg_kernels_neon},
#endif
};
enum { N_SETS = sizeof sets / sizeof *sets };

static int find(const char *isa) {
    for (int i = 0; i < N_SETS; i++)
        if (strcmp(sets[i].name, isa) == 0) return i;
    return -1;
}

static int best(void) {
    int i = N_SETS - 1;
    while (!sets[i].supported()) i--;
    return i;
}

bool wg_isa_supported(const char *name) {
    const int i = find(name);
    return i >= 0 && sets[i].supported();
}

static wg_status refuse(const char *isa, bool known, char *message, size_t size) {
    char names[64] = "";
    for (int i = 0; i < N_SETS; i++) {
        if (i > 0) strcat(names, ", ");
        strcat(names, sets[i].name);
    }
    if (known)
        snprintf(message, size, "WENGERT_ISA: this CPU does not have '%.32s'; unset it for the best it has", isa);
    else
        snprintf(message, size, "WENGERT_ISA: unknown instruction set '%.32s'; this build has %s", isa, names);
    return WG_VALUE_ERROR;
}

wg_status wg_kernels_build(const char *isa, wg_kernels *k, char *message, size_t message_size) {
    const int chosen = isa && *isa ? find(isa) : best();
    if (chosen < 0) return refuse(isa, false, message, message_size);
    if (!sets[chosen].supported()) return refuse(isa, true, message, message_size);
    memset(k, 0, sizeof *k);
    for (int i = 0; i <= chosen; i++) sets[i].fill(k);
    return WG_OK;
}

static wg_kernels table;

wg_status wg_kernels_init(const char *isa, char *message, size_t message_size) {
    return wg_kernels_build(isa, &table, message, message_size);
}

const char *wg_isa(void) { return table.isa; }
const wg_kernels *wg_kernels_table(void) { return &table; }
