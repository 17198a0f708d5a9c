/* remuda/remuda.h alone: compiles in C++17 with every warning an error; and the C++ side.
 */
#include <remuda/remuda.h>

#include "tests/unit/client/typed.h"

extern "C" int headers_in_cpp(remuda *client);

int headers_in_cpp(remuda *client)
{
	remuda_options options = REMUDA_OPTIONS_INIT;
	remuda_task_options task = REMUDA_TASK_OPTIONS_INIT;
	remuda_map_options map = REMUDA_MAP_OPTIONS_INIT;
	remuda_pool_options pool = REMUDA_POOL_OPTIONS_INIT;
	remuda_error *err = nullptr;
	if (options.version + task.version + map.version + pool.version != 4)
		return 1;
	std::string back;
	if (remuda_get(remuda_submit_name(client, "x:echo", std::string("h\0llo", 5)),
		       &back, &err) != 0 ||
	    back.size() != 5)
		return 2;
	std::vector<int64_t> numbers{1, 2, 3};
	remuda_int64s ints;
	if (remuda_get(remuda_submit_name_with(client, &task, "x:echo", numbers), &ints,
		       nullptr) != 0 ||
	    ints.len != 3)
		return 3;
	std::free(const_cast<int64_t *>(ints.data));
	bool boolean = false;
	if (remuda_get(remuda_submit_name(client, "x:echo", true), &boolean, nullptr) !=
		    0 ||
	    !boolean)
		return 4;
	if (remuda_get(remuda_submit_name(client, "x:echo", nullptr), nullptr, nullptr) !=
	    0)
		return 5;
	long count = 0;
	remuda_int64s counts;
	if (remuda_get(remuda_submit_name(client, "x:count", 1, 2u, 3l, 4ul, 5ll, 6ull,
					  'c', short(8)),
		       &counts, nullptr) != 0)
		return 6;
	count = counts.data[0];
	std::free(const_cast<int64_t *>(counts.data));
	if (count != 8)
		return 7;
	if (remuda_get(remuda_submit(client, half, 1, true, 3), nullptr, &err) !=
	    REMUDA_EINVAL)
		return 8;
	remuda_error_free(err);
	return 0;
}
