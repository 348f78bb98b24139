/* The C ABI of shrink. */
#ifndef DISTOS_COLL_C_API_SHRINK_H_
#define DISTOS_COLL_C_API_SHRINK_H_

#include "distos_coll/c_api.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct dc_shrink dc_shrink; /* one rank's part in making a smaller group */

/* After the end of ranks: makes a group of those that are left. All of them call it, except the
 * n_excluded ranks `excluded`, which must not. Waits until they agree who they are.
 * dc_shrink_ranks stores the ranks (of the old group, in order; up to its size) and returns how
 * many. The new group is set up with the store of dc_shrink_store, valid until dc_shrink_end. If
 * that fails, dc_shrink_retry says whether a rank has ended meanwhile: 1: yes, the ranks have
 * agreed anew, try again; 0: no, the failure stands; negative: no agreement. */
DC_API int dc_shrink_begin(dc_comm*, const int32_t* excluded, size_t n_excluded, int64_t timeout_ms,
                           dc_shrink** out);
DC_API int32_t dc_shrink_ranks(const dc_shrink*, int32_t* ranks);
DC_API void dc_shrink_store(dc_shrink*, dc_store* out);
DC_API int dc_shrink_retry(dc_shrink*);
DC_API void dc_shrink_end(dc_shrink*);

#ifdef __cplusplus
}
#endif
#endif /* DISTOS_COLL_C_API_SHRINK_H_ */
