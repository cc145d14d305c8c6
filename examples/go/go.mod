module example.com/wxnotify-client

go 1.26.0
