from workers.ingest.message_size import MessageSize


def after(size, *round_trips):
    for round_trip_s in round_trips:
        size.answered(round_trip_s)
    return size.frames


def test_messages_of_a_file_grow_while_answers_are_quick():
    size = MessageSize(drops=False, most=64)
    assert size.largest == 64
    assert [size.frames, after(size, 0.1), after(size, 0.1), after(size, 0.1)] == [16, 32, 64, 64]


def test_messages_of_a_file_shrink_to_what_they_began_with():
    size = MessageSize(drops=False, most=64)
    assert after(size, 0.1, 0.1) == 64
    assert after(size, 0.3, 0.3, 0.3) == 16


def test_messages_of_a_stream_that_drops_are_small_from_the_start():
    size = MessageSize(drops=True, most=64)
    assert [size.largest, size.frames] == [4, 4]
    assert [after(size, 0.3), after(size, 0.3), after(size, 0.3)] == [2, 1, 1]
    assert after(size, 0.1) == 2


def test_no_message_is_larger_than_allowed():
    for drops in (False, True):
        assert after(MessageSize(drops, most=3), 0.0, 0.0) == 3
