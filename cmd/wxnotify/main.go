// Command wxnotify sends WeChat template messages.
package main

func main() {}
