#include "provider/ring_reader.hpp"

#include "provider/fork_mutex.hpp"
#include "provider/ring_file.hpp"
#include "provider/thread_own.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <exception>
#include <mutex>
#include <optional>
#include <pthread.h>
#include <thread>
#include <unistd.h>
#include <utility>
#include <vector>

#include <sys/stat.h>

namespace stek {
namespace {

using View = RingReader::View;

/// A thread's own way to the last view of a reader. Few and fixed: a process has one reader, or one per
/// library context; further ones share slots and only pay with a lock when they take turns. Weak: the thread
/// may sleep for days.
struct Cached {
    std::uint64_t reader = 0;
    std::uint64_t sequence = 0;
    std::weak_ptr<const View> view;
};
constexpr std::size_t cached_readers = 4;
using ThreadCache = std::array<Cached, cached_readers>;

std::uint64_t next_reader_id() noexcept {
    static std::atomic<std::uint64_t> last{0};
    return ++last;
}

using Digest = std::array<std::uint8_t, 32>;

/// The checksum at the end of a ring's image.
Digest digest_of(Bytes image) noexcept {
    Digest digest{};
    if (image.size() >= digest.size())
        std::copy(image.end() - digest.size(), image.end(), digest.begin());
    return digest;
}

}  // namespace

struct RingReader::Impl {
    Impl(std::string path_, std::string location_)
        : path(std::move(path_)), location(std::move(location_)), view(not_looked_for_yet(1)) {
        const std::lock_guard lock(publishing());
        readers().push_back(this);
    }
    ~Impl() {
        const std::lock_guard lock(publishing());
        std::erase(readers(), this);
    }
    Impl(const Impl&) = delete;
    Impl& operator=(const Impl&) = delete;

    static std::shared_ptr<const View> not_looked_for_yet(std::uint64_t sequence) {
        return std::make_shared<const View>(
            View{nullptr, RingState::absent, "not looked for yet", sequence, sequence});
    }

    /// Guards the list of readers and their published views; taken only when a view changed. One for all, so
    /// that one fork handler keeps a child from inheriting it locked by a thread that it does not have.
    static ForkMutex& publishing() {
        static auto& mutex = *new ForkMutex;  // exit handlers may still look
        static const int registered = pthread_atfork([] { publishing().hold_for_fork(); },
                                                     [] { publishing().go_on(); }, begin_anew_in_a_child);
        static_cast<void>(registered);
        return mutex;
    }
    static std::vector<Impl*>& readers() {
        static auto& all = *new std::vector<Impl*>;
        return all;
    }
    /// A child that never looks would hold its parent's admission keys for ever.
    static void begin_anew_in_a_child() {
        for (Impl* reader : readers()) {
            reader->first_look_done = false;
            reader->looked_at = 0;
            reader->stamp_settled = false;
            reader->digest = {};
            reader->next_end_boot_ms.reset();
            reader->view = not_looked_for_yet(reader->sequence + 1);
            reader->sequence = reader->view->sequence;
        }
        publishing().go_on();
    }

    const std::string path;
    const std::uint64_t id = next_reader_id();
    std::atomic<std::uint64_t> looked_at{0};
    std::atomic<std::uint64_t> sequence{1};
    std::atomic<bool> first_look_done{false};
    std::atomic<std::uint64_t> look_again_from_ms{0};

    // The looker's: owned by the thread whose process id is in `looker`. Plain data, so that a child that was
    // forked in the middle of a look can take over from the thread it does not have.
    std::atomic<pid_t> looker{0};
    FileStamp stamp{};
    bool stamp_settled = false;
    Digest digest{};
    std::optional<std::uint64_t> next_end_boot_ms;  // of the records in the view
    std::int64_t clock_set_back_before_s = 0;       // by this wall clock the file has more than the view

    // Under publishing().
    std::string location;
    std::shared_ptr<const View> view;

    /// Whoever looks holds this. False if another thread of this process does.
    bool begin_look() noexcept {
        const pid_t self = ::getpid();
        pid_t owner = 0;
        while (!looker.compare_exchange_weak(owner, self, std::memory_order_acquire))
            if (owner == self)
                return false;
        return true;
    }
    struct EndLook {
        Impl* impl;
        ~EndLook() { impl->looker.store(0, std::memory_order_release); }
    };

    std::shared_ptr<const View> published() {
        const std::lock_guard lock(publishing());
        return view;
    }
    enum class Change { of_the_file, of_time };
    void publish(std::shared_ptr<const KeyRing> ring, RingState state, std::string reason,
                 Change change = Change::of_the_file) {
        const auto before = published();
        if (before->ring == ring && before->state == state && before->reason == reason)
            return;
        const auto number = before->sequence + 1;
        auto next = std::make_shared<View>(View{std::move(ring), state, std::move(reason), number,
                                                change == Change::of_time ? before->news : number});
        std::shared_ptr<const View> old = next;
        const std::lock_guard lock(publishing());
        if (location.empty() && next->ring != nullptr)
            location = next->ring->location;
        view.swap(old);
        sequence.store(next->sequence, std::memory_order_release);
    }
    std::string accepted_location() {
        const std::lock_guard lock(publishing());
        return location;
    }

    void refresh(std::uint64_t second) {
        // The first look is waited for, else a thread would decline tickets that the ring opens. Later ones
        // are one thread's business, and while they last the others go on with what they have.
        if (!first_look_done.load(std::memory_order_acquire)) {
            while (!begin_look())
                std::this_thread::yield();
            const EndLook end{this};
            if (first_look_done.load(std::memory_order_relaxed))
                return;
            looked_at.store(second, std::memory_order_relaxed);
            look();
            first_look_done.store(true, std::memory_order_release);
            return;
        }
        std::uint64_t last = looked_at.load(std::memory_order_relaxed);
        if (second <= last || !looked_at.compare_exchange_strong(last, second, std::memory_order_relaxed) ||
            !begin_look())
            return;
        const EndLook end{this};
        look();
    }

    /// True if the file may have changed since it was read.
    bool changed() const noexcept {
        struct stat status {};
        return !stamp_settled || ::stat(path.c_str(), &status) != 0 || FileStamp::of(status) != stamp;
    }

    void look() {
        const Moment now = Moment::now();
        const bool regained = now.wall_ms / 1000 < clock_set_back_before_s;
        if (regained)
            digest = {};  // the same bytes say more now
        if (regained || changed()) {
            stamp = {};  // of no file, until what was read is published: else it would not be read again
            FileStamp read{};
            try {
                const auto image = read_ring_image(path);
                if (image)
                    read = image->stamp;
                take(image, now);
            } catch (const RingError& refused) {
                publish(published()->ring, RingState::corrupt, path + ": " + refused.what());
            } catch (const std::exception& lacking) {  // memory, a descriptor, the right to read it
                publish(published()->ring, RingState::corrupt, path + ": " + lacking.what());
                read = {};
            }
            stamp = read;
            stamp_settled = stamp.settled_by(now.wall_ms / 1000);
        }
        if (next_end_boot_ms && now.boot_ms >= *next_end_boot_ms)
            drop_those_over(now);
    }

    void take(const std::optional<RingImage>& image, Moment now) {
        if (!image) {
            publish(nullptr, RingState::absent, path + ": no key ring there");
            next_end_boot_ms.reset();
            clock_set_back_before_s = 0;
            return;
        }
        std::shared_ptr<const KeyRing> ring = decode_ring(image->bytes.bytes());
        if (const std::string ours = accepted_location(); !ours.empty() && ring->location != ours)
            throw RingError("key ring: of location " + ring->location + ", not " + ours);
        const Digest read = digest_of(image->bytes.bytes());
        if (published()->state == RingState::good && read == digest)
            return;
        clock_set_back_before_s = 0;
        keep(ring, now, RingState::good, {}, Change::of_the_file);
        digest = read;
    }

    /// Publishes what is not over of a ring, and notes when to look at it again.
    void keep(const std::shared_ptr<const KeyRing>& ring, Moment now, RingState state, std::string reason,
              Change change) {
        for (const auto& record : ring->records) {
            // Over by its age it is for good. By the wall clock alone it comes back if that is set back.
            if (is_over(*record, now) && now.boot_ms / 1000 < record->destroy_at)
                clock_set_back_before_s = std::max(clock_set_back_before_s, record->open_until);
        }
        const auto rest = without_those_over(ring, now);
        publish(rest, state, std::move(reason), change);
        next_end_boot_ms = next_end(*rest, now);  // last: who had no memory to publish tries again
    }

    void drop_those_over(Moment now) {
        const auto before = published();
        if (before->ring != nullptr)
            keep(before->ring, now, before->state, before->reason, Change::of_time);
    }
};

RingReader::RingReader(std::string path, std::string location)
    : impl_(std::make_unique<Impl>(std::move(path), std::move(location))) {}

RingReader::~RingReader() = default;

bool RingReader::look_again(std::uint64_t monotonic_milliseconds) noexcept {
    Impl& impl = *impl_;
    auto from = impl.look_again_from_ms.load(std::memory_order_relaxed);
    if (monotonic_milliseconds < from ||
        !impl.look_again_from_ms.compare_exchange_strong(from, monotonic_milliseconds + 100) ||
        !impl.begin_look())
        return false;
    const Impl::EndLook end{&impl};
    try {
        impl.look();
    } catch (const std::exception&) {
        // Out of memory: the view stays.
    }
    return true;
}

std::shared_ptr<const View> RingReader::look_now() noexcept {
    Impl& impl = *impl_;
    while (!impl.begin_look())
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    const Impl::EndLook end{&impl};
    try {
        impl.look();
    } catch (const std::exception&) {
        // Out of memory: the view stays.
    }
    impl.first_look_done.store(true, std::memory_order_release);
    return impl.published();
}

std::shared_ptr<const View> RingReader::current(std::uint64_t monotonic_seconds) noexcept {
    Impl& impl = *impl_;
    try {
        impl.refresh(monotonic_seconds);
    } catch (const std::exception&) {
        // Out of memory: the view stays, and the next second tries again.
    }
    auto* const cache = thread_own<ThreadCache>();
    if (cache == nullptr)
        return impl.published();
    Cached& cached = (*cache)[impl.id % cached_readers];
    if (cached.reader == impl.id && cached.sequence == impl.sequence.load(std::memory_order_acquire)) {
        if (auto view = cached.view.lock())
            return view;
    }
    auto view = impl.published();
    cached = {impl.id, view->sequence, view};
    return view;
}

}  // namespace stek
