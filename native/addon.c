/**
 * The addon: kernels(memory, control, thread) returns the functions that a WebAssembly program imports;
 * crc32c(bytes, crc) exists where the processor has an instruction for it.
 */
#include "border.h"
#include "cpu.h"
#include "crc.h"

/** What one function of one instance needs when it is called. */
typedef struct {
  Binding *binding;
  const Function *function;
} Bound;

enum { MOST_FUNCTIONS = 40 };

/** In an ArrayBuffer, so that the addon needs no C library. */
typedef struct {
  Binding binding;
  Bound bound[MOST_FUNCTIONS];
} Instance;

static napi_value fault(napi_env env, const char *function, const char *what) {
  char message[160];
  size_t n = 0;
  for (const char *s = function; *s && n < 60; s++) message[n++] = *s;
  for (const char *s = ": "; *s; s++) message[n++] = *s;
  for (const char *s = what; *s && n < 159; s++) message[n++] = *s;
  message[n] = 0;
  napi_throw_range_error(env, NULL, message);
  return NULL;
}

static napi_value call(napi_env env, napi_callback_info info) {
  napi_value arguments[MOST_ARGUMENTS], result = NULL;
  size_t n = MOST_ARGUMENTS;
  void *data;
  if (napi_get_cb_info(env, info, &n, arguments, NULL, &data) != napi_ok) return NULL;
  const Bound *bound = data;
  const Function *f = bound->function;
  Call c = {.kernels = bound->binding->kernels, .t = bound->binding->thread};
  if (n < f->arguments) return fault(env, f->name, "too few arguments");
  for (u32 i = 0; i < f->arguments; i++)
    if (napi_get_value_uint32(env, arguments[i], &c.a[i]) != napi_ok) return fault(env, f->name, "an argument is no number");
  // The memory grows in place: the control words hold its present size.
  const u64 now = (u64)control_words(&c.t)[PAGES] << 16;
  if (now > c.t.size && now <= (u64)1 << 32) c.t.size = now;
  const u32 threads = thread_count(&c.t);
  if (threads <= c.t.thread || (c.t.control + 64 + (u64)threads * 64) > c.t.size) return fault(env, f->name, "no such number of threads");
  const u32 value = f->call(&c);
  if (c.fault) return fault(env, f->name, c.fault);
  if (f->returns) napi_create_uint32(env, value, &result);
  return result;
}

static void release(napi_env env, void *data, void *hint) {
  Binding *binding = data;
  (void)hint;
  if (--binding->uses == 0) {
    napi_delete_reference(env, binding->memory);
    binding->memory = NULL;
  }
}

/** Puts a table's functions on an object. @returns 0 when JavaScript could not */
static int give(napi_env env, napi_value object, const Function *f, Instance *instance, u32 *count) {
  for (; f->name; f++) {
    napi_value function;
    Bound *bound = &instance->bound[(*count)++];
    *bound = (Bound){&instance->binding, f};
    if (
      napi_create_function(env, f->name, NAPI_AUTO_LENGTH, call, bound, &function) != napi_ok ||
      napi_add_finalizer(env, function, &instance->binding, release, NULL, NULL) != napi_ok
    ) return 0;
    instance->binding.uses++;
    if (napi_set_named_property(env, object, f->name, function) != napi_ok) return 0;
  }
  return 1;
}

/** Where the bytes of a Uint8Array are. @returns 0 when a value is none */
static int bytes_of(napi_env env, napi_value value, void **bytes, size_t *length, size_t *offset) {
  bool typed = false;
  napi_typedarray_type type;
  napi_value buffer;
  return napi_is_typedarray(env, value, &typed) == napi_ok && typed &&
    napi_get_typedarray_info(env, value, &type, length, bytes, &buffer, offset) == napi_ok && type == napi_uint8_array;
}

/* memory: Uint8Array over all of it, control: address of the control words, thread: this one's number */
static napi_value kernels(napi_env env, napi_callback_info info) {
  napi_value arguments[3], object, buffer, keep;
  size_t n = 3, length, offset;
  void *set, *base, *room;
  u32 control, thread, count = 0;
  if (napi_get_cb_info(env, info, &n, arguments, NULL, &set) != napi_ok) return NULL;
  if (
    n < 3 || !bytes_of(env, arguments[0], &base, &length, &offset) || offset != 0 ||
    napi_get_value_uint32(env, arguments[1], &control) != napi_ok ||
    napi_get_value_uint32(env, arguments[2], &thread) != napi_ok
  ) return fault(env, "kernels", "not a memory, an address and a thread's number");
  if (control == 0 || control % 8 != 0 || thread >= 65536 || control + 128 + (u64)thread * 64 > length)
    return fault(env, "kernels", "the control words lie outside the memory");
  if (
    napi_create_arraybuffer(env, sizeof(Instance), &room, &buffer) != napi_ok ||
    napi_create_object(env, &keep) != napi_ok || napi_create_object(env, &object) != napi_ok ||
    napi_set_named_property(env, keep, "memory", arguments[0]) != napi_ok ||
    napi_set_named_property(env, keep, "room", buffer) != napi_ok
  ) return NULL;
  Instance *instance = room;
  instance->binding = (Binding){
    .thread = {.base = base, .size = length, .control = control, .thread = thread}, .kernels = set,
  };
  if (napi_create_reference(env, keep, 1, &instance->binding.memory) != napi_ok) return NULL;
  if (!give(env, object, inference_functions, instance, &count)) return NULL;
  if (!give(env, object, training_functions, instance, &count)) return NULL;
  return object;
}

/* bytes: Uint8Array, crc: of the bytes before these; returns the CRC-32C of all of them */
static napi_value checksum(napi_env env, napi_callback_info info) {
  napi_value arguments[2], result = NULL;
  size_t n = 2, length, offset;
  void *bytes;
  u32 crc;
  if (napi_get_cb_info(env, info, &n, arguments, NULL, NULL) != napi_ok) return NULL;
  if (
    n < 2 || !bytes_of(env, arguments[0], &bytes, &length, &offset) ||
    napi_get_value_uint32(env, arguments[1], &crc) != napi_ok
  ) return fault(env, "crc32c", "not bytes and a checksum");
  napi_create_uint32(env, crc32c(bytes, length, crc), &result);
  return result;
}

#if defined(__linux__)
int madvise(void *from, size_t bytes, int advice); // from the C library inside node
enum { MADV_HUGEPAGE = 14 };

/* memory: Uint8Array at the start of an address space, bytes: of that space, which grows in place; returns whether Linux took the advice */
static napi_value huge_pages(napi_env env, napi_callback_info info) {
  napi_value arguments[2], result = NULL;
  size_t n = 2, length, offset;
  void *base;
  int64_t bytes;
  if (napi_get_cb_info(env, info, &n, arguments, NULL, NULL) != napi_ok) return NULL;
  if (
    n < 2 || !bytes_of(env, arguments[0], &base, &length, &offset) || offset != 0 ||
    napi_get_value_int64(env, arguments[1], &bytes) != napi_ok ||
    bytes < 0 || (uintptr_t)base % 4096 != 0
  ) return fault(env, "hugePages", "not a memory and its bytes");
  napi_get_boolean(env, madvise(base, bytes, MADV_HUGEPAGE) == 0, &result);
  return result;
}
#endif

/* { kernels: { "avx512+vnni": kernels, ... }, crc32c, hugePages }: what this processor and system can do, best set first */
NAPI_MODULE_INIT() {
  napi_value sets, function;
  if (napi_create_object(env, &sets) != napi_ok || napi_set_named_property(env, exports, "kernels", sets) != napi_ok)
    return NULL;
  for (const Choice *c = choices(); c->name; c++) {
    if (!c->here) continue;
    if (
      napi_create_function(env, "kernels", NAPI_AUTO_LENGTH, kernels, (void *)c->kernels, &function) != napi_ok ||
      napi_set_named_property(env, sets, c->name, function) != napi_ok
    ) return NULL;
  }
  if (
    has_crc32c() &&
    (napi_create_function(env, "crc32c", NAPI_AUTO_LENGTH, checksum, NULL, &function) != napi_ok ||
     napi_set_named_property(env, exports, "crc32c", function) != napi_ok)
  ) return NULL;
#if defined(__linux__)
  if (
    napi_create_function(env, "hugePages", NAPI_AUTO_LENGTH, huge_pages, NULL, &function) != napi_ok ||
    napi_set_named_property(env, exports, "hugePages", function) != napi_ok
  ) return NULL;
#endif
  return exports;
}
