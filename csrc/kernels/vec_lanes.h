/* Tails lane by lane, for a set that has no masked loads and stores of the kind, and no masks but vectors. */

#define within(x, least, most) LIKELY(!any(~(((x) >= set1(least)) & ((x) < set1(most)))))
#define within_both(x, least, most, y, end)                                                                            \
    LIKELY(!any(~(((x) >= set1(least)) & ((x) < set1(most)) & ((y) < set1(end)))))
#define normal(x) within(x, LEAST_NORMAL, INFINITY)
#define settle(v) (void)(v)

static inline V FN(load_lanes)(const T *p, int64_t n, V fill) {
    T lanes[LANES];
    store(lanes, fill);
    for (int64_t i = 0; i < n; i++) lanes[i] = p[i];
    return load(lanes);
}

static inline void FN(store_lanes)(T *p, V v, int64_t n) {
    T lanes[LANES];
    store(lanes, v);
    for (int64_t i = 0; i < n; i++) p[i] = lanes[i];
}

static inline M FN(load_bool_lanes)(const uint8_t *p, int64_t n) {
    uint8_t bytes[LANES] = {0};
    for (int64_t i = 0; i < n; i++) bytes[i] = p[i];
    return load_bools(bytes);
}

static inline void FN(store_bool_lanes)(uint8_t *p, M m, int64_t n) {
    uint8_t bytes[LANES];
    store_bools(bytes, m);
    for (int64_t i = 0; i < n; i++) p[i] = bytes[i];
}
