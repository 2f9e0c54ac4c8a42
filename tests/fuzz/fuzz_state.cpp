// Feeds stekd's state.json. Only std::runtime_error (with std::system_error) may be thrown, and it names the
// file; what is understood is the same after it was saved and read again.
#include "daemon/state.hpp"
#include "tests/fuzz/fuzz.hpp"

#include <fstream>
#include <iterator>

namespace {

using namespace stek::daemon;
using stek::fuzz::require;

std::string content_of(const std::string& file) {
    std::ifstream in(file);
    return {std::istreambuf_iterator<char>(in), {}};
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const stek::fuzz::Directory directory;
    static const StateDirectory state(directory.path());
    const std::string file = directory.write("state.json", stek::fuzz::text_of(data, size));
    State read;
    try {
        read = state.load();
    } catch (const std::runtime_error& error) {
        require(std::string_view(error.what()).starts_with(file), "an error names the file");
        return 0;
    }
    state.save(read);
    const std::string once = content_of(file);
    state.save(state.load());
    require(content_of(file) == once, "a state is the same when read again");
    return 0;
}
