/* Tilewise in C: load a compiled network, run it on images of any size that it allows.
 *
 * Every function that can fail returns a status, and writes what was wrong to `error` (which may be null). No exception
 * leaves these functions, nothing is printed, and there is no state but what an engine holds. One engine may be used
 * from several threads: calls take turns.
 *
 *   tilewise_engine* engine = NULL;
 *   tilewise_error error;
 *   if (tilewise_load("net.tilewise", NULL, &engine, &error) != TILEWISE_OK) puts(error.message);
 */
#ifndef TILEWISE_H
#define TILEWISE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define TILEWISE_API __attribute__((visibility("default")))
#else
#define TILEWISE_API
#endif

typedef enum {
  TILEWISE_OK = 0,
  TILEWISE_INVALID = 1,   /* an argument is not allowed, or the file is damaged */
  TILEWISE_NO_FILE = 2,   /* the file cannot be read */
  TILEWISE_NO_MEMORY = 3, /* memory is short */
  TILEWISE_INTERNAL = 4   /* a fault of this library */
} tilewise_status;

typedef struct {
  char message[1024]; /* ends with a zero byte, and is cut off if it is longer */
} tilewise_error;

typedef enum { TILEWISE_UINT8 = 0, TILEWISE_INT16 = 1, TILEWISE_FLOAT32 = 3 } tilewise_dtype;
typedef enum { TILEWISE_NCHW = 0, TILEWISE_NHWC = 1 } tilewise_layout;

typedef struct tilewise_engine tilewise_engine;

/* All zero is the default. */
typedef struct {
  int threads;            /* 0: one; at most the cores that the process may use */
  const char* kernel_set; /* null: what the environment variable TILEWISE_ISA names, else the best of this machine */
  int64_t batch;          /* images that go through at once, at most; 0: 16 */
} tilewise_options;

/* An input or output of a network. */
typedef struct {
  const char* name; /* lives as long as the engine */
  int64_t channels;
  int64_t height, width;                   /* of an input: what it must have; 0: any */
  int64_t height_multiple, width_multiple; /* of an input: what they must be multiples of */
  int flat;                                /* of an output: its result is no map [N, C, H, W] but what axes say */
  int channels_last;                       /* of one that is flat: whether it must be asked for as TILEWISE_NHWC */
  size_t axis_count;                       /* of one that is flat: its axes after N, each an extent of */
  int64_t axes[7][4]; /* multiple * (height if rows) * (width if columns) / divisor: multiple, divisor, rows, columns */
  tilewise_dtype stored;                   /* of an output: what it may be asked for as, beside float32 */
  float step;                              /* of an output: the real number is (stored - zero_point) * step */
  int32_t zero_point;
} tilewise_port;

typedef struct {
  int64_t images, channels, height, width;
} tilewise_shape;

/* Images that go in, or memory for results: dense, in this order of axes. Inputs are float32 or uint8. */
typedef struct {
  const char* name; /* of the input or output; null: by position */
  void* data;
  size_t bytes; /* of data; must be what the shape takes */
  tilewise_dtype dtype;
  tilewise_layout layout;
  tilewise_shape shape; /* of inputs; outputs follow from them */
} tilewise_array;

/* What one operation took; texts live until the profile is freed. */
typedef struct {
  const char *name, *operation, *kernel, *algorithm;
  double seconds;                                                    /* median */
  double input_transform, requantize, multiply, output_transform;    /* of fast convolutions, summed over threads */
  int64_t operations, bytes;                                         /* two for each multiply-add; read and written */
} tilewise_timing;
typedef struct tilewise_profile tilewise_profile;

TILEWISE_API const char* tilewise_version(void);

/* The bytes of a file need not outlive the call. */
TILEWISE_API tilewise_status tilewise_load(const char* path, const tilewise_options* options, tilewise_engine** engine,
                                           tilewise_error* error);
TILEWISE_API tilewise_status tilewise_load_memory(const void* data, size_t bytes, const tilewise_options* options,
                                                  tilewise_engine** engine, tilewise_error* error);
/* Another engine of the same network, with `threads` (0: one) and memory of its own. It shares the packed weights, and
 * calls to the two run at once. Either may be freed first. */
TILEWISE_API tilewise_status tilewise_share(const tilewise_engine* engine, int threads, tilewise_engine** another,
                                            tilewise_error* error);
TILEWISE_API void tilewise_free(tilewise_engine* engine); /* null is allowed */

TILEWISE_API const char* tilewise_kernel_set(const tilewise_engine* engine);
TILEWISE_API int tilewise_threads(const tilewise_engine* engine);
/* Bytes that activations take for the sizes prepared so far. */
TILEWISE_API size_t tilewise_activation_bytes(const tilewise_engine* engine);
TILEWISE_API size_t tilewise_input_count(const tilewise_engine* engine);
TILEWISE_API size_t tilewise_output_count(const tilewise_engine* engine);
TILEWISE_API tilewise_status tilewise_input(const tilewise_engine* engine, size_t number, tilewise_port* port,
                                            tilewise_error* error);
TILEWISE_API tilewise_status tilewise_output(const tilewise_engine* engine, size_t number, tilewise_port* port,
                                             tilewise_error* error);

/* Prepares for images of these shapes, one for each input in its order, and writes the shapes of the outputs.
 * tilewise_run prepares by itself; the last few sizes stay prepared. */
TILEWISE_API tilewise_status tilewise_prepare(tilewise_engine* engine, const tilewise_shape* inputs, size_t input_count,
                                              tilewise_shape* outputs, size_t output_count, tilewise_error* error);
/* Bytes that activations of such images take, without taking them: ask before sizes that others choose. */
TILEWISE_API tilewise_status tilewise_memory(const tilewise_engine* engine, const tilewise_shape* inputs,
                                             size_t input_count, size_t* bytes, tilewise_error* error);
TILEWISE_API tilewise_status tilewise_run(tilewise_engine* engine, const tilewise_array* inputs, size_t input_count,
                                          const tilewise_array* outputs, size_t output_count, tilewise_error* error);

/* Runs `repeats` times and measures each operation. */
TILEWISE_API tilewise_status tilewise_measure(tilewise_engine* engine, const tilewise_array* inputs, size_t input_count,
                                              const tilewise_array* outputs, size_t output_count, int64_t repeats,
                                              tilewise_profile** profile, tilewise_error* error);
TILEWISE_API size_t tilewise_timing_count(const tilewise_profile* profile);
TILEWISE_API const tilewise_timing* tilewise_timings(const tilewise_profile* profile);
TILEWISE_API void tilewise_free_profile(tilewise_profile* profile); /* null is allowed */

#ifdef __cplusplus
}
#endif

#endif
