/* Reading, filling in and comparing key templates. */
#include "conf/template.h"

#include "conf/conf.h"

#include <errno.h>
#include <string.h>

enum piece {
    PIECE_END,
    PIECE_CHARACTER, /* one character of the key, in *c */
    PIECE_PATH,
    PIECE_NAME,
    PIECE_DIR,
    PIECE_UNKNOWN, /* {something else} */
    PIECE_OPEN,    /* { without } */
    PIECE_CLOSE,   /* } without { */
};

static enum piece read_placeholder(const char **at)
{
    static const struct {
        const char *text;
        enum piece piece;
    } known[] = {{"{path}", PIECE_PATH}, {"{name}", PIECE_NAME}, {"{dir}", PIECE_DIR}};
    const char *close = strchr(*at, '}');

    if (!close)
        return PIECE_OPEN;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        size_t len = strlen(known[i].text);
        if (strncmp(*at, known[i].text, len) == 0) {
            *at += len;
            return known[i].piece;
        }
    }
    *at = close + 1;
    return PIECE_UNKNOWN;
}

/* Steps over the next piece of the template. */
static enum piece next_piece(const char **at, char *c)
{
    const char *p = *at;

    if (*p == '\0')
        return PIECE_END;
    if (*p == '{' && p[1] != '{')
        return read_placeholder(at);
    if (*p == '}' && p[1] != '}')
        return PIECE_CLOSE;
    *c = *p;
    *at = p + (*p == '{' || *p == '}' ? 2 : 1);
    return PIECE_CHARACTER;
}

static const char *brace_fault(const char *text)
{
    char c;

    for (;;) {
        switch (next_piece(&text, &c)) {
        case PIECE_END:
            return NULL;
        case PIECE_UNKNOWN:
            return "the placeholder is unknown; write {path}, {name} or {dir}, and '{{' for a "
                   "brace";
        case PIECE_OPEN:
            return "the brace '{' is not closed; write {path}, {name} or {dir}, and '{{' for a "
                   "brace";
        case PIECE_CLOSE:
            return "there is a '}' without '{'; write '}}' for a brace";
        default:
            break;
        }
    }
}

const char *conf_template_fault(const char *text)
{
    size_t len = strlen(text);

    if (len == 0)
        return "the key is empty; write a key such as /locks/{name}";
    if (len > CONF_KEY_MAX)
        return "the key is longer than 1024 bytes; write a shorter one";
    if (strcspn(text, " \t\r\n\v\f") < len)
        return "there is white space in the key; write one option in a line and a key without "
               "blanks";
    if (strstr(text, "//"))
        return "there is an empty part ('//') in the key; write one slash";
    if (text[len - 1] == '/')
        return "the key ends in a slash; write it without";
    return brace_fault(text);
}

struct sink {
    char *out;
    size_t len, size;
};

static void put(struct sink *sink, char c)
{
    if (sink->len < sink->size)
        sink->out[sink->len] = c;
    sink->len++;
}

static void put_escaped(struct sink *sink, const char *text, size_t len)
{
    static const char digits[] = "0123456789ABCDEF";

    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];

        if (c == '/' || c == '%' || c < 0x20 || c == 0x7f) {
            put(sink, '%');
            put(sink, digits[c >> 4]);
            put(sink, digits[c & 15]);
        } else {
            put(sink, (char)c);
        }
    }
}

int conf_template_fill(const char *text, const char *path, char *out, size_t size)
{
    struct sink sink = {.out = out, .size = size};
    size_t path_len = strlen(path);
    const char *slash = strrchr(path, '/');
    const char *name = slash && slash[1] ? slash + 1 : path;
    size_t dir_len = slash && slash > path ? (size_t)(slash - path) : 1;
    enum piece piece;
    char c;

    while ((piece = next_piece(&text, &c)) != PIECE_END) {
        switch (piece) {
        case PIECE_CHARACTER:
            put(&sink, c);
            break;
        case PIECE_PATH:
            put_escaped(&sink, path, path_len);
            break;
        case PIECE_NAME:
            put_escaped(&sink, name, strlen(name));
            break;
        case PIECE_DIR:
            put_escaped(&sink, path, dir_len);
            break;
        default:
            return -EINVAL;
        }
    }
    put(&sink, '\0');
    return sink.len <= size ? 0 : -ENAMETOOLONG;
}

void conf_template_prefix(const char *text, char *out, size_t size)
{
    size_t len = 0;
    char c;

    while (len + 1 < size && next_piece(&text, &c) == PIECE_CHARACTER)
        out[len++] = c;
    if (size > 0)
        out[len] = '\0';
}

/* For unification a template is a row of tokens: characters, and for each placeholder "any one
 * character" followed by "any number of any characters", neither of which is a slash. */
enum {
    TOKEN_ANY = 256,
    TOKEN_MANY,
};

struct tokens {
    unsigned short at[CONF_KEY_MAX + 1];
    size_t len;
};

static bool tokenize(const char *text, struct tokens *tokens)
{
    enum piece piece;
    char c;

    if (strlen(text) > CONF_KEY_MAX)
        return false;
    tokens->len = 0; /* a placeholder is longer in the text than its two tokens */
    while ((piece = next_piece(&text, &c)) != PIECE_END) {
        if (piece == PIECE_OPEN || piece == PIECE_CLOSE)
            return false;
        if (piece == PIECE_CHARACTER) {
            tokens->at[tokens->len++] = (unsigned char)c;
        } else {
            tokens->at[tokens->len++] = TOKEN_ANY;
            tokens->at[tokens->len++] = TOKEN_MANY;
        }
    }
    return true;
}

/* Can one character be an instance of both? Neither is TOKEN_MANY. */
static bool unify(unsigned a, unsigned b)
{
    if (a == TOKEN_ANY)
        return b != '/';
    if (b == TOKEN_ANY)
        return a != '/';
    return a == b;
}

bool conf_template_nests(const char *outer, const char *inner)
{
    struct tokens a, b;
    bool reach[2][CONF_KEY_MAX + 2] = {{false}}; /* row i: which prefixes of b fit i tokens of a */
    size_t low = 0, high = 0;                    /* the part of the row that may be true */

    if (!tokenize(outer, &a) || !tokenize(inner, &b))
        return true;
    a.at[a.len++] = '/';
    reach[0][0] = true;
    for (size_t i = 0; i < a.len; i++) {
        bool *row = reach[i % 2], *below = reach[(i + 1) % 2];
        size_t next_low = b.len + 1, next_high = 0;

        for (size_t j = low; j <= high; j++) {
            bool stay = false, step = false; /* to j, to j + 1 in the row below */

            if (!row[j])
                continue;
            row[j] = false;
            if (a.at[i] == TOKEN_MANY) {
                stay = true;
                if (j < b.len && b.at[j] != '/')
                    row[j + 1] = true;
            } else if (j < b.len && b.at[j] == TOKEN_MANY) {
                stay = a.at[i] != '/';
                row[j + 1] = true;
            } else if (j < b.len) {
                step = unify(a.at[i], b.at[j]);
            }
            if (j < b.len && row[j + 1] && high == j)
                high = j + 1;
            if (stay || step) {
                size_t first = stay ? j : j + 1;
                below[first] = true;
                next_low = first < next_low ? first : next_low;
                next_high = first > next_high ? first : next_high;
            }
        }
        if (next_low > next_high)
            return false;
        low = next_low;
        high = next_high;
    }
    return true;
}
