from volunteer.swarm.traffic import Downloads, Traffic


def test_what_was_there_before_a_download_was_not_brought_by_it() -> None:
    traffic = Traffic(received_bytes=7)
    downloads = Downloads(traffic)
    downloads.note(1000, is_over=False)
    downloads.note(1500, is_over=False)
    downloads.note(2000, is_over=True)
    downloads.note(9000, is_over=True)  # all of another model was here
    downloads.note(0, is_over=False)
    downloads.note(300, is_over=False)
    downloads.note(250, is_over=False)  # it goes on after a failure, from what was whole
    downloads.note(400, is_over=True)
    assert traffic.received_bytes == 7 + 1000 + 300 + 150
