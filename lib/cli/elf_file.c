#include "cli/elf_file.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SEGMENTS_MAX 512
#define PIECE_MAX    (64u << 20) /* bytes of a table that is read whole */

/* ELF(3) macros choose the class of this very program. */
#define OWN_CLASS (sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32)
#define OWN_ORDER (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? ELFDATA2LSB : ELFDATA2MSB)

struct image {
    int fd;
    ElfW(Phdr) * segments;
    size_t n;
};

static int read_at(int fd, uint64_t offset, void *out, size_t len)
{
    ssize_t got = offset > INT64_MAX ? 0 : pread(fd, out, len, (off_t)offset);
    if (got < 0)
        return -errno;
    return (size_t)got == len ? 0 : -EBADMSG;
}

/* A piece of the file on the heap with a zero behind it. */
static int read_piece(int fd, uint64_t offset, uint64_t len, char **out)
{
    *out = NULL;
    if (len > PIECE_MAX)
        return -EBADMSG;
    *out = malloc(len + 1);
    int err = *out ? read_at(fd, offset, *out, len) : -ENOMEM;
    if (err) {
        free(*out);
        *out = NULL;
        return err;
    }
    (*out)[len] = '\0';
    return 0;
}

static int read_segments(struct image *image, const ElfW(Ehdr) * header)
{
    size_t size = header->e_phnum * sizeof *image->segments;
    if (header->e_phnum == 0)
        return 0;
    if (header->e_phnum > SEGMENTS_MAX || header->e_phentsize != sizeof *image->segments)
        return -EBADMSG;
    image->segments = malloc(size);
    if (!image->segments)
        return -ENOMEM;
    image->n = header->e_phnum;
    return read_at(image->fd, header->e_phoff, image->segments, size);
}

static int read_interpreter(const struct image *image, const ElfW(Phdr) * segment,
                            struct elf_file *out)
{
    if (segment->p_filesz == 0 || segment->p_filesz > sizeof out->interpreter)
        return -EBADMSG;
    int err = read_at(image->fd, segment->p_offset, out->interpreter, segment->p_filesz);
    out->interpreter[segment->p_filesz - 1] = '\0';
    return err;
}

/* Go's linker leaves its build id in a note of the owner "Go". */
static int read_notes(const struct image *image, const ElfW(Phdr) * segment, struct elf_file *out)
{
    char *notes;
    int err = read_piece(image->fd, segment->p_offset, segment->p_filesz, &notes);
    if (err)
        return err;
    uint64_t at = 0;
    while (at + sizeof(ElfW(Nhdr)) <= segment->p_filesz) {
        ElfW(Nhdr) note;
        memcpy(&note, notes + at, sizeof note);
        at += sizeof note;
        if (note.n_namesz == 4 && at + 4 <= segment->p_filesz && memcmp(notes + at, "Go", 3) == 0)
            out->go = true;
        at += ((uint64_t)note.n_namesz + 3) / 4 * 4 + ((uint64_t)note.n_descsz + 3) / 4 * 4;
    }
    free(notes);
    return 0;
}

/* Where in the file an address of the program comes from; 0 if nowhere. */
static uint64_t file_offset(const struct image *image, uint64_t address)
{
    for (size_t i = 0; i < image->n; i++) {
        const ElfW(Phdr) *segment = &image->segments[i];
        if (segment->p_type == PT_LOAD && address >= segment->p_vaddr &&
            address - segment->p_vaddr < segment->p_filesz)
            return segment->p_offset + (address - segment->p_vaddr);
    }
    return 0;
}

static bool is_of_libc(const char *library)
{
    static const char *const beginnings[] = {"libc.so.", "libpthread.so.", "libdl.so.",
                                             "libm.so.", "librt.so.",      "libresolv.so.",
                                             "ld-linux", "libgcc_s.so."};
    for (size_t i = 0; i < sizeof beginnings / sizeof *beginnings; i++) {
        if (strncmp(library, beginnings[i], strlen(beginnings[i])) == 0)
            return true;
    }
    return false;
}

/* Is this one of the names? A name may be the tail of a longer one: linkers merge them. */
static bool has_name(const char *names, uint64_t len, const char *name)
{
    return memmem(names, len, name, strlen(name) + 1) != NULL;
}

static void take_names(const ElfW(Dyn) * entries, size_t n, const char *names, uint64_t len,
                       struct elf_file *out)
{
    static const char *const locks[] = {"flock", "fcntl", "fcntl64", "lockf", "lockf64"};
    for (size_t i = 0; i < sizeof locks / sizeof *locks; i++)
        out->imports_locks |= has_name(names, len, locks[i]);
    for (size_t i = 0; i < n && entries[i].d_tag != DT_NULL; i++) {
        uint64_t at = entries[i].d_un.d_val;
        if (entries[i].d_tag == DT_NEEDED && at < len)
            out->other_libraries |= !is_of_libc(names + at);
    }
}

static int read_dynamic(const struct image *image, const ElfW(Phdr) * segment, struct elf_file *out)
{
    char *table;
    char *names = NULL;
    uint64_t address = 0;
    uint64_t len = 0;
    int err = read_piece(image->fd, segment->p_offset, segment->p_filesz, &table);
    if (err)
        return err;
    const ElfW(Dyn) *entries = (const void *)table; /* malloc aligns it */
    size_t n = segment->p_filesz / sizeof *entries;
    for (size_t i = 0; i < n && entries[i].d_tag != DT_NULL; i++) {
        if (entries[i].d_tag == DT_STRTAB)
            address = entries[i].d_un.d_ptr;
        else if (entries[i].d_tag == DT_STRSZ)
            len = entries[i].d_un.d_val;
    }
    uint64_t offset = file_offset(image, address);
    if (offset && len)
        err = read_piece(image->fd, offset, len, &names);
    if (!err && names)
        take_names(entries, n, names, len + 1, out);
    free(names);
    free(table);
    return err;
}

static int read_image(struct image *image, struct elf_file *out)
{
    ElfW(Ehdr) header;
    int err = read_at(image->fd, 0, &header, sizeof header);
    if (!err)
        err = read_segments(image, &header);
    for (size_t i = 0; i < image->n && !err; i++) {
        const ElfW(Phdr) *segment = &image->segments[i];
        if (segment->p_type == PT_INTERP)
            err = read_interpreter(image, segment, out);
        else if (segment->p_type == PT_NOTE)
            err = read_notes(image, segment, out);
    }
    for (size_t i = 0; i < image->n && !err && out->go; i++) {
        if (image->segments[i].p_type == PT_DYNAMIC)
            err = read_dynamic(image, &image->segments[i], out);
    }
    return err;
}

int elf_file_read(int fd, struct elf_file *out)
{
    unsigned char
        ident[EI_NIDENT + 4]; /* with e_type and e_machine, which all classes have there */
    struct image image = {.fd = fd};
    memset(out, 0, sizeof *out);
    int err = read_at(fd, 0, ident, sizeof ident);
    if (err == -EBADMSG || (!err && memcmp(ident, ELFMAG, SELFMAG) != 0))
        return -ENOEXEC;
    if (err)
        return err;
    out->bits = ident[EI_CLASS];
    out->byte_order = ident[EI_DATA];
    const unsigned char *machine = ident + EI_NIDENT + 2;
    out->machine = out->byte_order == ELFDATA2MSB ? (unsigned)machine[0] << 8 | machine[1]
                                                  : (unsigned)machine[1] << 8 | machine[0];
    if (out->bits != OWN_CLASS || out->byte_order != OWN_ORDER)
        return 0;
    err = read_image(&image, out);
    free(image.segments);
    return err;
}

const char *elf_file_machine(const struct elf_file *file)
{
    static char text[32];
    switch (file->machine) {
    case EM_X86_64:
        return file->bits == ELFCLASS32 ? "x32" : "x86-64";
    case EM_386:
        return "i386";
    case EM_AARCH64:
        return "arm64";
    case EM_ARM:
        return "arm";
    case EM_PPC64:
        return "ppc64";
    case EM_S390:
        return "s390";
    case EM_RISCV:
        return "riscv";
    default:
        snprintf(text, sizeof text, "machine %u", file->machine);
        return text;
    }
}
