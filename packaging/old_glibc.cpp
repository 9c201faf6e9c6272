// Lets a build on a system of today run on glibc 2.28: calls whose default versions are newer go to the versions that
// every glibc has. The linker sends them here (-Wl,--wrap); those of libstdc++.a come too.
#include <pthread.h>
#include <sys/stat.h>

#if defined(__x86_64__)
#define OLDEST "GLIBC_2.2.5"
#elif defined(__aarch64__)
#define OLDEST "GLIBC_2.17"
#endif
#define OLD(name) __asm__(".symver old_" #name ", " #name "@" OLDEST)

extern "C" {

// Code of libstdc++ asks it whether atomic operations may be left out: never.
__attribute__((visibility("hidden"))) char __libc_single_threaded = 0;

int old_pthread_create(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*);
int old_pthread_join(pthread_t, void**);
int old_pthread_once(pthread_once_t*, void (*)());
int old___pthread_key_create(pthread_key_t*, void (*)(void*));
void* old_dlsym(void*, const char*);
int old___xstat(int, const char*, struct stat*);
int old___fxstat64(int, int, struct stat64*);
OLD(pthread_create);
OLD(pthread_join);
OLD(pthread_once);
OLD(__pthread_key_create);
OLD(dlsym);
OLD(__xstat);
OLD(__fxstat64);

int __wrap_pthread_create(pthread_t* thread, const pthread_attr_t* how, void* (*work)(void*), void* with) {
  return old_pthread_create(thread, how, work, with);
}
int __wrap_pthread_join(pthread_t thread, void** result) { return old_pthread_join(thread, result); }
int __wrap_pthread_once(pthread_once_t* once, void (*call)()) { return old_pthread_once(once, call); }
int __wrap___pthread_key_create(pthread_key_t* key, void (*end)(void*)) { return old___pthread_key_create(key, end); }
void* __wrap_dlsym(void* library, const char* name) { return old_dlsym(library, name); }

#if defined(__x86_64__)
constexpr int kStatVersion = 1;
#else
constexpr int kStatVersion = 0;
#endif
int __wrap_stat(const char* path, struct stat* found) { return old___xstat(kStatVersion, path, found); }
int __wrap_fstat64(int file, struct stat64* found) { return old___fxstat64(kStatVersion, file, found); }

}
