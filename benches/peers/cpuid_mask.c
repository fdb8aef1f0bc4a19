// Hides instruction sets from a program that asks the processor what it has.
//
//     gcc -O2 -shared -fPIC -o cpuid_mask.so cpuid_mask.c
//     CPUID_MASK=amx  LD_PRELOAD=./cpuid_mask.so program      # no AMX
//     CPUID_MASK=avx2 LD_PRELOAD=./cpuid_mask.so program      # nothing beyond AVX2 and FMA
//
// For runtimes with no switch of their own (ONNX Runtime) and for those whose switch reaches only a part of their
// kernels. Linux on x86-64 with CPUID faulting: the CPUID instruction raises SIGSEGV, the handler executes it, clears
// the bits and resumes. After the runtime has asked, nothing here runs: speed is untouched.

#define _GNU_SOURCE
#include <cpuid.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#define ARCH_SET_CPUID 0x1012

static int only_avx2;

// arch_prctl without errno, which the handler must not touch.
static long cpuid_enabled(long on) {
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "0"((long)SYS_arch_prctl), "D"((long)ARCH_SET_CPUID), "S"(on)
                     : "rcx", "r11", "memory");
    return result;
}

static void mask(unsigned leaf, unsigned subleaf, unsigned *b, unsigned *c, unsigned *d, unsigned *a) {
    if (leaf == 7 && subleaf == 0) {
        *d &= ~(1u << 22 | 1u << 24 | 1u << 25);  // AMX-BF16, AMX-TILE, AMX-INT8
        if (only_avx2) {
            // AVX512 F, DQ, IFMA, PF, ER, CD, BW, VL
            *b &= ~(1u << 16 | 1u << 17 | 1u << 21 | 1u << 26 | 1u << 27 | 1u << 28 | 1u << 30 | 1u << 31);
            // VBMI, VBMI2, GFNI, VAES, VPCLMULQDQ, VNNI, BITALG, VPOPCNTDQ
            *c &= ~(1u << 1 | 1u << 6 | 1u << 8 | 1u << 9 | 1u << 10 | 1u << 11 | 1u << 12 | 1u << 14);
            *d &= ~(1u << 2 | 1u << 3 | 1u << 8 | 1u << 23);  // 4VNNIW, 4FMAPS, VP2INTERSECT, FP16
        }
    }
    if (leaf == 7 && subleaf == 1) {
        *a &= ~(1u << 21);                             // AMX-FP16
        *d &= ~(1u << 8);                              // AMX-COMPLEX
        if (only_avx2) {
            *a &= ~(1u << 4 | 1u << 5 | 1u << 23);     // AVX-VNNI, AVX512-BF16, AVX-IFMA
            *d &= ~(1u << 4 | 1u << 5 | 1u << 10 | 1u << 19);  // AVX-VNNI-INT8, AVX-NE-CONVERT, VNNI-INT16, AVX10
        }
    }
    if (leaf == 0x1d || leaf == 0x1e) *a = *b = *c = *d = 0;  // tiles
}

static void on_fault(int signal_number, siginfo_t *info, void *context) {
    (void)info;
    greg_t *r = ((ucontext_t *)context)->uc_mcontext.gregs;
    const unsigned char *code = (const unsigned char *)r[REG_RIP];
    if (code[0] != 0x0f || code[1] != 0xa2) {  // a real fault: again, with nobody to catch it
        signal(signal_number, SIG_DFL);
        return;
    }
    unsigned leaf = (unsigned)r[REG_RAX], subleaf = (unsigned)r[REG_RCX], a, b, c, d;
    cpuid_enabled(1);
    __cpuid_count(leaf, subleaf, a, b, c, d);
    cpuid_enabled(0);
    mask(leaf, subleaf, &b, &c, &d, &a);
    r[REG_RAX] = a, r[REG_RBX] = b, r[REG_RCX] = c, r[REG_RDX] = d;
    r[REG_RIP] += 2;
}

__attribute__((constructor)) static void start(void) {
    const char *what = getenv("CPUID_MASK");
    if (!what) return;
    only_avx2 = !strcmp(what, "avx2");
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_NODEFER};
    sigaction(SIGSEGV, &action, NULL);
    if (cpuid_enabled(0) != 0) {
        fprintf(stderr, "cpuid_mask: this machine cannot hide instruction sets (no CPUID faulting)\n");
        _exit(77);
    }
}
