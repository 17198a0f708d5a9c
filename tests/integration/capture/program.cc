// A C++ program whose functions run on workers: static objects, exceptions, templates.
#include <remuda/remuda.h>

#include <cstdio>
#include <map>
#include <stdexcept>
#include <string>

namespace
{

struct table {
	std::map<std::string, int64_t> words;
	table() { words["answer"] = 42; }
};

table at_start; // made by a constructor before main

REMUDA_TASK(static int64_t, word, (const char *, name))
{
	return at_start.words.at(name); // throws std::out_of_range
}

REMUDA_TASK(static int64_t, caught, (int64_t, x))
{
	try {
		if (x > 1)
			throw std::runtime_error("too large");
	} catch (const std::exception &e) {
		return static_cast<int64_t>(std::string(e.what()).size());
	}
	return x;
}

int show(const char *what, remuda_future *future)
{
	remuda_error *err = nullptr;
	int64_t value = 0;
	if (remuda_get(future, &value, &err) < 0) {
		remuda_error_print(err, stderr);
		remuda_error_free(err);
		std::printf("%s failed\n", what);
		return 1;
	}
	std::printf("%s %lld\n", what, static_cast<long long>(value));
	return 0;
}

} // namespace

int main(int argc, char **argv)
{
	remuda *client = remuda_open(argc > 1 ? argv[1] : nullptr);
	show("word", remuda_submit(client, word, "answer"));
	show("caught", remuda_submit(client, caught, 5));
	show("missing", remuda_submit(client, word, "question"));
	remuda_close(client);
	return 0;
}
