"""Step 3 on a state: what an entry that is applied again leaves behind."""


def test_an_entry_that_is_applied_again_numbers_its_events_anew(world):
    state = world.state
    for ended in (state.rollback, state.commit):
        state.begin()
        state.savepoint()
        state.event("p", 1, 5, "encounter.admitted", None, None)
        state.release()
        ended()
    assert state._db.execute("SELECT n FROM event").fetchall() == [(0,)]
