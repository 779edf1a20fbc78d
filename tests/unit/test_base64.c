/* Base64: the vectors of RFC 4648, round trips, and what is not base64. */
#include "etcd/base64.h"

#include "unit.h"

#include <stdlib.h>

static void test_vectors(void)
{
    static const struct {
        const char *plain, *encoded;
    } cases[] = {
        {"", ""},
        {"f", "Zg=="},
        {"fo", "Zm8="},
        {"foo", "Zm9v"},
        {"foob", "Zm9vYg=="},
        {"fooba", "Zm9vYmE="},
        {"foobar", "Zm9vYmFy"},
        {"\xff\xff\xff", "////"},
        {"\xfb\xef\xbe", "++++"},
        {"\xff", "/w=="},
        /* as etcd 3.4 writes them */
        {"/locks/a/", "L2xvY2tzL2Ev"},
        {"/locks/a0", "L2xvY2tzL2Ew"},
        {"/locks/a/694d7a0d5c4a2d0b", "L2xvY2tzL2EvNjk0ZDdhMGQ1YzRhMmQwYg=="},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        size_t len = 77;
        char *encoded = base64_encode(cases[i].plain, strlen(cases[i].plain));
        char *plain = base64_decode(cases[i].encoded, &len);

        CHECK_STR("encoded", encoded, cases[i].encoded);
        CHECK_STR("decoded", plain, cases[i].plain);
        CHECK_INT("length", (long long)len, (long long)strlen(cases[i].plain));
        free(encoded);
        free(plain);
    }
}

/* Every length up to 300, and every byte at each of the three places. */
static void test_round_trips(void)
{
    unsigned char bytes[300];
    size_t wrong = 0;

    for (unsigned seed = 0; seed < 256; seed++) {
        for (size_t i = 0; i < sizeof bytes; i++)
            bytes[i] = (unsigned char)(i * 31 + seed);
        for (size_t n = 0; n <= sizeof bytes; n += seed < 3 ? 1 : 97) {
            size_t len = 0;
            char *encoded = base64_encode(bytes, n);
            char *plain = base64_decode(encoded, &len);

            wrong += !plain || len != n || memcmp(plain, bytes, n) != 0 || plain[n] != '\0' ||
                     strlen(encoded) != (n + 2) / 3 * 4;
            free(encoded);
            free(plain);
        }
    }
    CHECK_INT("round trips that went wrong", (long long)wrong, 0);
}

static void test_zeros_inside(void)
{
    size_t len = 0;
    char *encoded = base64_encode("a\0b\0", 4);
    char *plain = base64_decode(encoded, &len);

    CHECK_STR("zeros encoded", encoded, "YQBiAA==");
    CHECK_INT("length with zeros", (long long)len, 4);
    CHECK("zeros decoded", memcmp(plain, "a\0b\0", 5) == 0);
    free(encoded);
    free(plain);
}

static bool is_digit(char c)
{
    return c && strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", c);
}

/* Two or more digits, then as many '=' as make four. */
static bool is_quad(const char *text)
{
    size_t digits = 0;

    while (digits < 4 && is_digit(text[digits]))
        digits++;
    return digits == 4 || (digits == 3 && text[3] == '=') ||
           (digits == 2 && text[2] == '=' && text[3] == '=');
}

/* All texts of four letters of a small alphabet: alone, in front of a sound group and behind it. */
static void test_what_it_is_not(void)
{
    static const char letters[] = "Az9+/=-_ \n\x80";
    const size_t n = sizeof letters - 1;
    size_t wrong = 0, sound = 0;

    for (size_t i = 0; i < n * n * n * n; i++) {
        char texts[3][9];
        size_t len = 0;
        char quad[5] = {letters[i % n], letters[i / n % n], letters[i / n / n % n],
                        letters[i / n / n / n], '\0'};
        bool alone = is_quad(quad);
        bool first = alone && !strchr(quad, '=');
        const bool wanted[3] = {alone, first, alone};

        sound += alone;
        snprintf(texts[0], sizeof texts[0], "%s", quad);
        snprintf(texts[1], sizeof texts[1], "%sQUJD", quad);
        snprintf(texts[2], sizeof texts[2], "QUJD%s", quad);
        for (size_t j = 0; j < 3; j++) {
            char *plain = base64_decode(texts[j], &len);

            if ((plain != NULL) != wanted[j] && wrong++ == 0)
                CHECK_FAIL("groups of four", "\"%s\": wanted %d", texts[j], wanted[j]);
            free(plain);
        }
    }
    CHECK("groups of four: as by the rule", wrong == 0 && sound > 500);
}

static void test_lengths(void)
{
    static const char *const cases[] = {"Q", "QQ", "QQQ", "QUJDR", "QUJDRE", "QUJDREV", "=", "=="};
    size_t len = 0;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        CHECK_STR(cases[i], base64_decode(cases[i], &len), NULL);
}

int main(void)
{
    test_vectors();
    test_round_trips();
    test_zeros_inside();
    test_what_it_is_not();
    test_lengths();
    return unit_end();
}
