/* What the C tests share: checks that count and go on, and the closing line. */
#ifndef WG_CHECK_H
#define WG_CHECK_H

#include <stdio.h>

static int passed, failed;

static inline void check(int ok, const char *what, int line) {
    if (ok)
        passed++;
    else
        failed++, fprintf(stderr, "line %d: %s\n", line, what);
}
#define CHECK(x) check((x), #x, __LINE__)
#define OK(call) check((call) == WG_OK, #call, __LINE__)

/* For the end of main. */
static inline int report(void) {
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}

#endif
