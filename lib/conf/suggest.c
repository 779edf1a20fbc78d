/* Edit distance (optimal string alignment) over short words. */
#include "conf/suggest.h"

#include <string.h>

#define WORD_MAX 32

static unsigned char fold(char c)
{
    if (c >= 'A' && c <= 'Z')
        return (unsigned char)(c - 'A' + 'a');
    return c == '-' ? '_' : (unsigned char)c;
}

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

static unsigned distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
    unsigned d[WORD_MAX + 1][WORD_MAX + 1] = {{0}};

    for (size_t j = 0; j <= b_len; j++)
        d[0][j] = (unsigned)j;
    for (size_t i = 1; i <= a_len; i++) {
        d[i][0] = (unsigned)i;
        for (size_t j = 1; j <= b_len; j++) {
            bool same = fold(a[i - 1]) == fold(b[j - 1]);

            d[i][j] = least(least(d[i - 1][j], d[i][j - 1]) + 1, d[i - 1][j - 1] + !same);
            if (i > 1 && j > 1 && fold(a[i - 1]) == fold(b[j - 2]) &&
                fold(a[i - 2]) == fold(b[j - 1]))
                d[i][j] = least(d[i][j], d[i - 2][j - 2] + 1);
        }
    }
    return d[a_len][b_len];
}

const char *conf_suggest(struct conf_span word, const char *const *known, size_t n_known)
{
    const char *best = NULL;
    unsigned best_distance = WORD_MAX;

    if (word.len > WORD_MAX)
        return NULL;
    for (size_t i = 0; i < n_known; i++) {
        size_t len = strlen(known[i]);
        size_t longer = len > word.len ? len : word.len;

        if (len > WORD_MAX)
            continue;
        unsigned far = distance(word.at, word.len, known[i], len);
        if (far * 5 <= longer * 2 && far < best_distance) {
            best = known[i];
            best_distance = far;
        }
    }
    return best;
}
