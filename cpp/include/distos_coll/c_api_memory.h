/* The C ABI of registered memory. */
#ifndef DISTOS_COLL_C_API_MEMORY_H_
#define DISTOS_COLL_C_API_MEMORY_H_

#include "distos_coll/c_api.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct dc_memory dc_memory; /* one piece of registered memory */

/* Memory at the start of a page, uninitialised, that the ranks of this host map, too: collectives
 * whose buffers lie in such memory on all ranks work on them in place. NULL for so few bytes that
 * it would make no difference. Not collective. It may outlive the group, and must be freed once. */
DC_API int dc_memory_allocate(dc_comm*, size_t bytes, dc_memory** out);
DC_API void* dc_memory_data(const dc_memory*);
DC_API void dc_memory_free(dc_memory*);

#ifdef __cplusplus
}
#endif
#endif /* DISTOS_COLL_C_API_MEMORY_H_ */
