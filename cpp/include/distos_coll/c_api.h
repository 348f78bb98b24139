/* The C ABI of the core: what cpp/torch (and later nccl.h) is written against. Structs only grow at
 * the end and start with their size, so that a door built earlier keeps working. Functions return 0
 * or a negative dc_code; the sentence for a person is in dc_last_error() (thread-local) or
 * dc_work_error(). Nothing here enters Python or takes the GIL. */
#ifndef DISTOS_COLL_C_API_H_
#define DISTOS_COLL_C_API_H_

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define DC_API __attribute__((visibility("default")))

typedef struct dc_runtime dc_runtime; /* the process: links, progress engine, liveness */
typedef struct dc_comm dc_comm;       /* one group */
typedef struct dc_work dc_work;       /* one operation in flight or finished */

/* The values of distos_coll::Code, negated when returned. */
enum dc_code {
  DC_OK = 0,
  DC_AGAIN = 1,
  DC_TIMEOUT = 2,
  DC_PEER_DIED = 3,
  DC_PEER_LEFT = 4,
  DC_ABORTED = 5,
  DC_INVALID = 6,
  DC_MISMATCH = 7,
  DC_UNSUPPORTED = 8,
  DC_SYSTEM = 9,
  DC_INTERNAL = 10,
};

/* Values of DType, ReduceOp and Collective in core/types.h. */
enum dc_dtype {
  DC_INT8 = 0,
  DC_UINT8,
  DC_INT16,
  DC_INT32,
  DC_INT64,
  DC_FLOAT16,
  DC_BFLOAT16,
  DC_FLOAT32,
  DC_FLOAT64,
  DC_BOOL,
  DC_FLOAT8_E4M3,
  DC_FLOAT8_E5M2,
  DC_COMPLEX64,
  DC_COMPLEX128
};
enum dc_op { DC_SUM = 0, DC_PRODUCT, DC_MIN, DC_MAX, DC_BAND, DC_BOR, DC_BXOR, DC_AVERAGE };
enum dc_collective {
  DC_ALL_REDUCE = 0,
  DC_REDUCE,
  DC_BROADCAST,
  DC_ALL_GATHER,
  DC_REDUCE_SCATTER,
  DC_ALL_TO_ALL,
  DC_GATHER,
  DC_SCATTER,
  DC_BARRIER,
  DC_ALL_GATHER_V,
  DC_REDUCE_SCATTER_V,
  DC_ALL_TO_ALL_V,
};

/* Where ranks meet before they have links. Callbacks may block up to timeout_ms and are called from
 * the thread that sets up the group. They return 0, or a dc_code. `get` waits for the key, then
 * hands its value to `emit` once. */
typedef struct dc_store {
  size_t struct_size;
  void* ctx;
  int (*set)(void* ctx, const char* key, const void* data, size_t bytes);
  int (*get)(void* ctx, const char* key, int64_t timeout_ms,
             void (*emit)(void* emit_ctx, const void* data, size_t bytes), void* emit_ctx);
  /* May be null: this rank reads no key with this prefix any more (comm/store.h). */
  void (*release)(void* ctx, const char* prefix, int32_t ranks);
  int notices_ends; /* get fails when a rank that it waits for has ended */
} dc_store;

typedef struct dc_comm_options {
  size_t struct_size;
  int32_t rank;
  int32_t size;
  int64_t timeout_ms;       /* default deadline of an operation; set-up uses it too */
  const char* name;         /* for people: "default_pg", "dp" ... */
  const int32_t* job_ranks; /* `size` entries, the ranks' numbers in the job; null: the same */
} dc_comm_options;

/* Bits of dc_call.flags. */
enum dc_call_flags {
  DC_BLOCKING = 1, /* run in the caller's thread if it can; the work is finished on return */
  DC_WIDE = 2,     /* halves travel as float32 between domains too */
};

/* One collective call. Counts are elements, as in docs/decisions/0001; buffers must live until the
 * work is finished. */
typedef struct dc_call {
  size_t struct_size;
  int32_t collective;
  int32_t dtype;
  int32_t op;
  int32_t root;
  const void* input;
  void* output;
  int64_t count;
  const int64_t* send_counts; /* v collectives: `size` entries each, copied by the call */
  const int64_t* send_offsets;
  const int64_t* recv_counts;
  const int64_t* recv_offsets;
  int64_t timeout_ms; /* 0: the communicator's */
  uint32_t flags;
  /* Called once, from whatever thread finishes the operation, never with a lock of the core held.
   * May be null. It may enqueue operations. code is 0 or a dc_code. */
  void (*on_done)(void* ctx, int code);
  void* on_done_ctx;
} dc_call;

/* Settings for the runtime, as "name=value" lines (core/settings.h). Takes effect if called before
 * the first dc_runtime_default(); afterwards the same text is accepted and a different one is
 * DC_INVALID. */
DC_API int dc_runtime_configure(const char* settings_text);
/* The process-wide runtime, created at first use. Fails in a forked child, and says so. */
DC_API dc_runtime* dc_runtime_default(void);

/* Set-up in three steps: connect (collective; links and domains), install_plan (local), ready
 * (collective; compares fingerprints, after it operations may run). Each throws nothing and names
 * the absent or differing ranks on failure. */
DC_API int dc_comm_connect(dc_runtime*, const dc_store*, const dc_comm_options*, dc_comm** out);
/* The same on every rank, so that all plan alike. domain_of: `size` entries out; domain_bits:
 * `size` entries out, about each rank's domain: bit 0 it has several ranks, bit 1 every pair in it
 * can read each other's memory (single copy), from bit 8 on the cores that its ranks share. */
DC_API int dc_comm_topology(const dc_comm*, int32_t* domain_of, int32_t* domain_bits);
/* What all call a rank's host: its DISTOS_COLL_HOST_ID or name; valid until the next call. */
DC_API const char* dc_comm_host(const dc_comm*, int32_t rank);
DC_API int dc_comm_install_plan(dc_comm*, const void* data, size_t bytes);
DC_API int dc_comm_ready(dc_comm*, const dc_store*);

/* *out is stored before on_done can be called, and no on_done is called when this returns an error.
 * With DC_BLOCKING `out` may be null: the outcome of the operation is then the return value and
 * dc_last_error(), and no work object is made. A work outlives its communicator, and may be
 * released inside on_done. */
DC_API int dc_comm_enqueue(dc_comm*, const dc_call*, dc_work** out);

/* Point to point. A receive takes a message of exactly `bytes`; another size is DC_MISMATCH.
 * source DC_ANY_SOURCE matches any rank. */
#define DC_ANY_SOURCE (-1)
DC_API int dc_comm_send(dc_comm*, const void* data, int64_t bytes, int32_t dest, int64_t tag,
                        const dc_call* options, dc_work** out);
DC_API int dc_comm_recv(dc_comm*, void* data, int64_t bytes, int32_t source, int64_t tag,
                        const dc_call* options, dc_work** out);

/* Every rank waits for all others; on failure names every absent rank. */
DC_API int dc_comm_monitored_barrier(dc_comm*, int64_t timeout_ms, int wait_all_ranks);

/* Finished: 1, not yet: 0. */
DC_API int dc_work_test(dc_work*);
/* Progresses and waits. 0 finished well; -DC_TIMEOUT: not finished within timeout_ms (the operation
 * goes on; <= 0 waits for its own deadline); other: the operation failed, see dc_work_error. */
DC_API int dc_work_wait(dc_work*, int64_t timeout_ms);
DC_API int dc_work_code(const dc_work*);
DC_API const char* dc_work_error(const dc_work*);
DC_API int32_t dc_work_source(const dc_work*);
/* The name of the program that ran it ("ring"), for traces; never null. */
DC_API const char* dc_work_algorithm(const dc_work*);
DC_API void dc_work_release(dc_work*);

DC_API void dc_comm_set_timeout(dc_comm*, int64_t timeout_ms);
DC_API int64_t dc_comm_sequence(const dc_comm*);
/* The choice that a call would take, for explanation. */
DC_API const char* dc_comm_choice(const dc_comm*, int32_t collective, int64_t bytes);
/* Fails everything in flight here and on the other ranks, with this reason; idempotent, never
 * blocks for long. */
DC_API void dc_comm_abort(dc_comm*, const char* reason);
/* Says goodbye, waits for operations in flight up to the communicator's timeout, frees. */
DC_API void dc_comm_close(dc_comm*);

/* Stops the default runtime: says goodbye to all peers. Called at exit by the doors; idempotent. */
DC_API void dc_runtime_shutdown(void);
/* Links, and rejected addresses with reasons; valid until the thread's next call. */
DC_API const char* dc_runtime_describe(void);

/* Instead of dc_comm_ready: tells the others that this rank cannot go on, and why, so that they
 * stop at once. */
DC_API int dc_comm_give_up(dc_comm*, const dc_store*, const char* why);

/* For doors of languages that handle signals themselves: called about ten times a second by a
 * thread that waits in a blocking call, after it has waited for a while. Nonzero ends the wait: the
 * group is aborted, and the call fails with DC_ABORTED. Null: none. */
DC_API void dc_set_interrupt_check(int (*check)(void));

DC_API const char* dc_last_error(void);
DC_API const char* dc_version(void);

#ifdef __cplusplus
}
#endif
#endif /* DISTOS_COLL_C_API_H_ */
