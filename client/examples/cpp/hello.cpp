/* hello: remuda from C++17: the same functions, with overloads for C++ types.
 *
 *	c++ -std=c++17 hello.cpp -o hello $(pkg-config --cflags --libs remuda)
 *	./hello demo.so */
#include <remuda/remuda.h>

#include <iostream>
#include <memory>
#include <string>
#include <vector>

REMUDA_TASK_IN("demo", int64_t, square, (int64_t, x));

struct close_client {
	void operator()(remuda *client) const { remuda_close(client); }
};

static int failed(remuda_error *err)
{
	remuda_error_print(err, stderr);
	remuda_error_free(err);
	return 1;
}

int main(int argc, char **argv)
{
	const char *modules[] = {argc > 1 ? argv[1] : "demo.so", nullptr};
	remuda_options options = REMUDA_OPTIONS_INIT;
	remuda_error *err = nullptr;

	options.modules = modules;
	std::unique_ptr<remuda, close_client> client(remuda_open_with(&options, &err));
	if (!client)
		return failed(err);

	std::vector<remuda_future *> futures;
	for (int i = 1; i <= 10; i++)
		futures.push_back(remuda_submit(client.get(), square, i));
	int64_t sum = 0;
	for (remuda_future *future : futures) {
		int64_t squared;
		if (remuda_get(future, &squared, &err) < 0)
			return failed(err);
		sum += squared;
	}

	std::string word;
	if (remuda_get(remuda_submit_name(client.get(), "native:demo.echo",
					  std::string("hello")),
		       &word, &err) < 0)
		return failed(err);
	std::cout << word << " " << sum << "\n";
	return 0;
}
